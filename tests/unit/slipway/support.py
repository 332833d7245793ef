"""A host in a directory for the tests of slipway: bundles, releases, and a systemctl that starts real processes.

Run as a program it is slipway on such a host: ROOT KILL_AFTER COMMAND...; after KILL_AFTER journal records
(0: never) it is killed with SIGKILL, as a power cut would end it; with -N while it writes its Nth, half of it written.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shlex
import signal
import stat
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import pip

FILES = Path(__file__).parents[3] / "roles/release/files"
sys.path.insert(0, str(FILES))
# Run as a program, too.
sys.path.insert(0, str(Path(__file__).parent))

import slipway_fake_server  # noqa: E402, F401  (a server is a fork of this process)
import slipway_fakes  # noqa: E402
from slipway import processes, systemd  # noqa: E402
from slipway.host import Host as Host  # noqa: E402
from slipway.journal import writing  # noqa: E402
from slipway.journal.writing import Journal  # noqa: E402

FAKES = Path(__file__).with_name("slipway_fakes.py")
RELEASE = "20261122T160501Z-3f2a9c1"
OTHER = "20261123T080000Z-77aa001"
THIRD = "20261124T080000Z-88bb002"

Member = tuple[tarfile.TarInfo, bytes]


def make_host(folder: Path) -> Host:
    """A bare host in folder/host, and beside it, in folder/fake, the systemd that serves it."""
    fake = folder / "fake"
    for directory in (folder / "host", fake / "units", fake / "logs", fake / "library"):
        directory.mkdir(parents=True)
    (fake / "library/pip").symlink_to(Path(pip.__file__).parent)
    for name, first in (
        ("systemctl", ""),
        ("systemd-run", ""),
        ("systemd-analyze", ""),
        ("journalctl", ""),
        ("python", str(fake / "library/pip")),
    ):
        words = [sys.executable, "-IS", str(FAKES), name, str(fake), *([first] if first else [])]
        (fake / name).write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        (fake / name).chmod(0o755)
    host = host_at(folder / "host")
    host.ensure_layout()
    Journal(host.journal, "test").keep_reserve()
    host.private_server.parent.mkdir(parents=True)
    host.private_server.write_text(
        f"server {{\n    listen 127.0.0.1:8443 ssl default_server;\n    # {host.drained}\n}}\n"
    )
    host.settings.parent.mkdir(parents=True)
    host.settings.write_text("[release]\nsignatures_required = false\n")
    return host


def host_at(root: Path) -> Host:
    fake = root.parent / "fake"
    return Host(
        "shop",
        root=root,
        systemctl=str(fake / "systemctl"),
        systemd_run=str(fake / "systemd-run"),
        systemd_analyze=str(fake / "systemd-analyze"),
        program=tuple(command(root)),
        journalctl=str(fake / "journalctl"),
        python=str(fake / "python"),
    )


def tiny_wheel(name: str, files: dict[str, str] | None = None, version: str = "1.0") -> tuple[str, bytes]:
    """File name and bytes of a pure wheel."""
    info = f"{name}-{version}.dist-info"
    content = {
        f"{name}/__init__.py": f"NAME = {name!r}\n",
        **(files or {}),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    content[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*content, f"{info}/RECORD"])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in content.items():
            archive.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED)
    return f"{name}-{version}-py3-none-any.whl", packed.getvalue()


def bundle_files(
    application: dict[str, str] | None = None, locked: dict[str, str] | None = None
) -> dict[str, bytes]:
    """The files of a good bundle, without its manifest. locked: files of the one wheel that its lock pins."""
    third_name, third = tiny_wheel("tiny", locked)
    own_name, own = tiny_wheel("shop", application)
    lock = f"# locked\ntiny==1.0 \\\n    --hash=sha256:{hashlib.sha256(third).hexdigest()}\n    # via shop\n"
    return {f"app/{own_name}": own, "requirements.lock": lock.encode(), f"wheelhouse/{third_name}": third}


def manifest_of(files: dict[str, bytes], release: str = RELEASE, **changes: Any) -> dict[str, Any]:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {
        "schema": 1,
        "app": "shop",
        "release": release,
        "git_sha": release[-7:] + "0" * 33,
        "dirty": False,
        "built_at": "2026-11-22T16:05:01Z",
        "targets": [{"python": python, "machine": os.uname().machine}],
        "schema_head": "0001",
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            for name, data in files.items()
        },
        **changes,
    }


def member(name: str, data: bytes = b"", **attributes: Any) -> Member:
    """A member of an archive; attributes as tarfile.TarInfo has them."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info, data


def members_of(files: dict[str, bytes], manifest: dict[str, Any] | None = None) -> list[Member]:
    text = json.dumps(manifest or manifest_of(files)).encode()
    return [member(name, data) for name, data in sorted({**files, "manifest.json": text}.items())]


def pack(path: Path, members: list[Member]) -> Path:
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return path


def good_bundle(
    folder: Path,
    release: str = RELEASE,
    application: dict[str, str] | None = None,
    locked: dict[str, str] | None = None,
) -> Path:
    files = bundle_files(application, locked)
    return pack(folder / f"shop-{release}.tar.gz", members_of(files, manifest_of(files, release)))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def staging(bundle: Path) -> list[str]:
    """The words that stage a bundle which is given on standard input."""
    return ["stage", "--bundle", "-", "--sha256", sha256(bundle)]


@contextmanager
def standard_input(path: Path) -> Iterator[None]:
    """The file at path is this process's standard input meanwhile."""
    kept = os.dup(0)
    with path.open("rb") as stream:
        os.dup2(stream.fileno(), 0)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def snapshot(root: Path) -> dict[str, str]:
    """Every path under root with its kind, mode and content; the lock file is not state."""

    def describe(path: Path) -> str:
        status = path.lstat()
        kind = stat.filemode(status.st_mode)
        if path.is_symlink():
            return f"{kind} -> {os.readlink(path)}"
        return f"{kind} {sha256(path)}" if path.is_file() else kind

    return {
        str(path.relative_to(root)): describe(path) for path in sorted(root.rglob("*")) if path.name != "lock"
    }


def install_release(
    host: Host, release: str, behaviour: str = "ready", service: dict[str, Any] | None = None
) -> Path:
    """A complete release as `slipway stage` leaves it, with a server that behaves as told.

    service: what it declares, such as further processes.
    """
    directory = host.release(release)
    (directory / "venv/bin").mkdir(parents=True)
    (directory / "venv/bin/python").symlink_to(sys.executable)
    (directory / "http.sock").symlink_to(host.runtime_socket(release))
    (directory / "behaviour").write_text(behaviour)
    facts = {"bundle_sha256": "0" * 64, "staged_at": "2026-11-22T16:06:00Z", "service": service or {}}
    manifest = manifest_of(bundle_files(), release, **facts)
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory


def run(
    root: Path, *words: str, kill_after: int = 0, limit_bytes: int | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """slipway in a process of its own. limit_bytes: the longest file that it and its children can write."""
    started = command(root, *words, kill_after=kill_after)
    if limit_bytes is not None:
        started = ["prlimit", f"--fsize={limit_bytes}", *started]
    return subprocess.run(started, capture_output=True, text=True, **options)


def command(root: Path, *words: str, kill_after: int = 0) -> list[str]:
    return [sys.executable, str(Path(__file__)), str(root), str(kill_after), *words]


def unit_states(root: Path) -> dict[str, dict[str, Any]]:
    """What the fake systemd knows, by unit."""
    return {path.stem: json.loads(path.read_text()) for path in (root.parent / "fake/units").glob("*.json")}


@contextmanager
def quick_systemd() -> Iterator[None]:
    """The fake systemd answers in this process meanwhile; a new interpreter for each question takes longer."""
    real = processes.run

    def run_here(command: Sequence[str], *arguments: Any, **options: Any) -> processes.Outcome:
        program = Path(command[0])
        if program.parent.name != "fake":
            return real(command, *arguments, **options)
        with redirect_stdout(io.StringIO()) as said:
            code = slipway_fakes.main(program.name, str(program.parent), *command[1:])
        return processes.Outcome(code, said.getvalue())

    with mock.patch.object(systemd, "run", run_here):
        yield


def kill(host: Host, unit: str) -> None:
    """The unit's process is killed, and gone."""
    _end(unit_states(host.root)[unit]["pid"], host.root)


def end_units(root: Path) -> None:
    """Ends the servers that the fake systemd of root started."""
    for state in unit_states(root).values():
        if state.get("pid"):
            _end(state["pid"], root)


def _end(pid: int, root: Path) -> None:
    try:
        # One that ended long ago may have left its number to somebody else's.
        if os.readlink(f"/proc/{pid}/fd/1").startswith(str(root.parent)):
            os.kill(pid, signal.SIGKILL)
            # A signal is only on its way when os.kill returns.
            while slipway_fakes.alive(pid):
                time.sleep(0.005)
    except (FileNotFoundError, ProcessLookupError):
        return


def _killed_after(count: int) -> Callable[..., None]:
    original, written = Journal.record, 0

    def record(self: Journal, *arguments: Any, **options: Any) -> None:
        nonlocal written
        original(self, *arguments, **options)
        written += 1
        if written == count:
            os.kill(os.getpid(), signal.SIGKILL)

    return record


def _killed_within(count: int) -> Callable[[int, bytes], None]:
    original, written = writing._write_all, 0

    def write(descriptor: int, data: bytes) -> None:
        nonlocal written
        written += 1
        if written == count:
            os.write(descriptor, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        original(descriptor, data)

    return write


def be_killed(point: int) -> None:
    """From now on this process is killed after its record number point, or within it when that is negative."""
    if point > 0:
        Journal.record = _killed_after(point)  # type: ignore[method-assign]
    elif point < 0:
        writing._write_all = _killed_within(-point)  # type: ignore[assignment]


if __name__ == "__main__":
    from slipway.cli import main

    be_killed(int(sys.argv[2]))
    sys.exit(main(sys.argv[3:], host_at(Path(sys.argv[1]))))
