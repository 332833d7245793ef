"""Throw-away servers of 14 to 17: initdb runs once a version, and each server starts on a copy of what it made."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO

from tests.unit.plugins.test_postgresql_harness import BINARIES, OS_USER, owned_directory, run_as_owner

ROOT = Path(__file__).parents[2]
# Every version that the role postgresql sets up, and the one that Ubuntu 22.04 brings.
VERSIONS = (14, 15, 16, 17)
USUAL = 14
_used: list[tuple[Path, IO[str]]] = []


@functools.cache
def programs(version: int) -> Path:
    """The folder of a server's programs."""
    if version == 14:
        return BINARIES
    asked = [sys.executable, "-m", "tests.lab", "packages", "--version", str(version), "--bin"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip().splitlines()[-1])


@functools.cache
def _folder() -> Path:
    """Where this run's processes keep what servers start on; the last of them that ends removes it."""
    folder = Path("/tmp", f"slipway-clusters-{os.environ.get('PYTEST_XDIST_TESTRUNUID') or uuid.uuid4().hex}")
    folder.mkdir(mode=0o755, exist_ok=True)
    if os.geteuid() == 0:
        shutil.chown(folder, OS_USER)
    used = (folder / ".used").open("w")
    fcntl.flock(used, fcntl.LOCK_SH)
    _used.append((folder, used))
    return folder


def leave() -> None:
    """At a process's end: nothing more is started on what is kept here."""
    for folder, used in _used:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(used, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
        used.close()
    _used.clear()


def once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of that name, made by the first who asks; others wait for it."""
    kept = _folder() / name
    with (_folder() / f".{name}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            directory = owned_directory("slipway-cluster-")
            make(directory / "data")
            (directory / "data").rename(kept)
            shutil.rmtree(directory)
    return kept


@functools.cache
def empty(version: int) -> Path:
    """A data directory as initdb makes it."""
    folder = programs(version)
    missing = [name for name in ("initdb", "pg_ctl", "postgres") if not (folder / name).is_file()]
    assert not missing, f"{folder} has no {', '.join(missing)}: make unit gets every version"

    return once(f"empty-{version}", lambda data: initialise(version, data))


def initialise(version: int, data: Path) -> None:
    """A cluster that is no other: initdb runs for it alone."""
    run_as_owner(
        programs(version) / "initdb", "--pgdata", data, "--username", "postgres", "--encoding", "UTF8",
        "--locale", "C.UTF-8", "--data-checksums", "--no-sync", "--auth", "trust",
    )  # fmt: skip


def filled(name: str, version: int, fill: Callable[[Path], None]) -> Path:
    """A data directory that fill(data) has configured, started, filled and stopped in order."""

    def make(data: Path) -> None:
        copy(empty(version), data)
        fill(data)

    return once(f"{name}-{version}", make)


def copy(source: Path, target: Path) -> None:
    """A data directory of one's own."""
    run_as_owner("cp", "-a", "--reflink=auto", source, target)


def start(version: int, data: Path, directory: Path, port: int = 5432) -> None:
    """Start the server; its socket and its log are in the directory."""
    run_as_owner(
        programs(version) / "pg_ctl", "start", "-w", "-t", "120", "-D", data, "-l", directory / "log",
        "-o", f"-k {directory} -p {port}",
    )  # fmt: skip


def stop(version: int, data: Path, mode: str = "immediate") -> None:
    """Stop the server; nothing is done when it is not running."""
    if (data / "postmaster.pid").exists():
        run_as_owner(programs(version) / "pg_ctl", "stop", "-w", "-m", mode, "-D", data)
