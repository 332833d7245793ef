"""A throw-away server that archives into a repository of its own, and the program for physical backups."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabfile.programs.zipped import build_helper
from tests.database import clusters, program_ground
from tests.database.backup_ground import clients, template
from tests.database.program_ground import PACKAGE
from tests.unit.plugins.test_postgresql_harness import OS_USER, run_as_owner

KEY = "a-key-of-the-tests-that-opens-nothing-else"
ROOM = 4 << 30
CLIENTS = ("psql", "pg_amcheck")
CONF = """
wal_level = replica
archive_mode = on
archive_command = '{tool} --config={config} --stanza=shop archive-push %p'
"""
CONTROL = """#!/bin/sh
exec {ctl} "$1" -w -t 120 -m fast -D {directory}/data -l {directory}/log -o '-k {directory} -p 5432'
"""
REPOSITORY = """
[global]
repo1-path={repository}
repo1-retention-full=2
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass={key}
compress-type=zst
start-fast=y
job-retry=0
log-path={logs}
log-level-file=info
spool-path={spool}
lock-path={spool}/lock
[shop]
pg1-path={data}
pg1-socket-path={socket}
"""


@dataclass(frozen=True)
class Ground(program_ground.Ground):
    """directory: socket, data/, repository/, sides/, marks/ and the program."""

    PROGRAM = "physical-backup"
    CONFIG = "physical.conf"
    MARKS = "marks"

    @property
    def sides(self) -> Path:
        return self.directory / "sides"

    @property
    def repository(self) -> Path:
        return self.directory / "repository"

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def sql(self, statement: str, **more: Any) -> Any:
        """The first value of a statement's first row, None without rows."""
        with self.connect(**more) as connection:
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None

    def words(self, *words: str) -> list[str]:
        """The program's command line, as the server's user."""
        return as_owner(super().words(*words))

    def configure(self, key: str = KEY, **changed: object) -> None:
        """Write the settings that the role would write."""
        config = self.directory / "pgbackrest.conf"
        places = {name: self.directory / name for name in ("repository", "logs", "spool", "data")}
        config.write_text(REPOSITORY.format(key=key, socket=self.directory, **places))
        config.chmod(0o644)
        own = {
            "stanza": "shop", "database": "shop", "config": config, "tool": tool(), "repository": self.repository,
            "folder": self.marks,
            "sides": self.sides, "socket": self.directory, "port": 5432, "programs": self.directory / "bin",
            "data": self.data, "onlookers": OS_USER, "control": f"{self.directory / 'control'} {{}}", "copied_by": "",
            "receipt": self.directory / "receipt.json",
        } | changed  # fmt: skip
        lines = "".join(f"{name} = {value}\n" for name, value in own.items())
        self.config.write_text(f"[physical]\n{lines}")
        (self.directory / "slipway.conf").write_text(CONF.format(tool=tool(), config=config))
        control = self.directory / "control"
        control.write_text(CONTROL.format(ctl=self.directory / "bin/pg_ctl", directory=self.directory))
        control.chmod(0o755)

    def in_side(self, name: str, statement: str, user: str = "slipway_backup") -> str:
        """What a restored cluster answers the user who may look into it."""
        about = json.loads((self.sides / name / "about.json").read_text())
        return run_as_owner(
            self.directory / "bin/psql", "--no-psqlrc", "-At", f"--host={self.sides / name / 'socket'}",
            f"--port={about['port']}", f"--username={user}", f"--command={statement}", "shop",
        ).strip()  # fmt: skip

    def names(self) -> list[str]:
        """The restored clusters that are there."""
        return sorted(path.name for path in self.sides.iterdir())

    def files(self, folder: str, ending: str = "") -> list[Path]:
        """Files of the repository, the largest first."""
        found = [path for path in (self.repository / folder).rglob(f"*{ending}") if path.is_file()]
        return sorted(found, key=lambda path: -path.stat().st_size)

    def now(self) -> str:
        """This moment, as one says it."""
        return (
            time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() % 10**9 // 1000:06d}+00:00"
        )

    def archived(self) -> None:
        """Have everything archived that was written."""
        wanted = self.sql("SELECT pg_walfile_name(pg_switch_wal())")
        until = time.monotonic() + 60
        while (self.sql("SELECT last_archived_wal FROM pg_stat_archiver") or "") < wanted:
            assert time.monotonic() < until, f"{wanted} is not archived"
            time.sleep(0.1)


def tool() -> Path:
    """pgBackRest; `python -m tests.lab install --tests` brings it."""
    found = shutil.which("pgbackrest")
    assert found, "this machine has no pgbackrest: python -m tests.lab install --tests"
    return Path(found)


def _quick() -> str:
    """pgBackRest has each of a thousand files written through to the disk; memory has none."""
    memory = "/dev/shm"
    return memory if os.path.isdir(memory) and shutil.disk_usage(memory).free > ROOM else "/tmp"


def as_owner(words: list[str]) -> list[str]:
    """The same command, as the server's user."""
    if os.geteuid() != 0:
        return words
    return ["setpriv", f"--reuid={OS_USER}", f"--regid={OS_USER}", "--clear-groups", "--", *words]


@functools.cache
def _prepared(version: int) -> Path:
    """What a server, its repository and its marks are after a first full backup, stopped in order."""

    def make(folder: Path) -> None:
        with ground(version) as made:
            made.done("prepare")
            clusters.stop(version, made.data, "fast")
            clusters.copy(made.directory, folder)

    return clusters.once(f"physical-{version}", make)


@contextlib.contextmanager
def ground(
    version: int = clusters.USUAL, prepared: bool = False, other: bool = False, where: str = ""
) -> Iterator[Ground]:
    """A server with the shop in it, which archives, and its repository; prepared: with a first full backup.

    other: a cluster with nothing in it, which is none of those that the others are copies of. where: the folder that it
    lies in, memory where there is enough.
    """
    source = _prepared(version) if prepared else None
    made = Ground(Path(tempfile.mkdtemp(prefix="slipway-physical-", dir=where or _quick())), version)
    made.directory.chmod(0o755)
    for name in ("marks", "sides", "repository", "logs", "spool", "bin"):
        (made.directory / name).mkdir(mode=0o755)
    for folder, names in ((clusters.programs(version), None), (clients(version), CLIENTS)):
        for path in folder.iterdir() if names is None else (folder / name for name in names):
            (made.directory / "bin" / path.name).symlink_to(path)
    (made.directory / "physical-backup").write_bytes(build_helper(PACKAGE))
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", f"{OS_USER}:", made.directory], check=True)
    if other:
        clusters.initialise(version, made.data)
        with (made.data / "postgresql.conf").open("a") as conf:
            conf.write("listen_addresses = ''\nfsync = off\n")
    else:
        clusters.copy(source / "data" if source else template(version), made.data)
    if source:
        for name in ("repository", "marks"):
            (made.directory / name).rmdir()
            clusters.copy(source / name, made.directory / name)
    else:
        with (made.data / "postgresql.conf").open("a") as conf:
            conf.write("include '../slipway.conf'\n")
    made.configure()
    try:
        clusters.start(version, made.data, made.directory)
        yield made
    finally:
        for path in made.sides.glob("*/data/postmaster.pid"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(path.read_text().split()[0]), signal.SIGQUIT)
        clusters.stop(version, made.data)
        shutil.rmtree(made.directory)
