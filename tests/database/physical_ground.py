"""A throw-away server that archives into a repository of its own, and the program for physical backups."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from fabfile.programs.zipped import build_helper
from tests.database import clusters
from tests.database.backup_ground import PACKAGE, clients, template
from tests.unit.plugins.test_postgresql_harness import OS_USER, run_as_owner

KEY = "a-key-of-the-tests-that-opens-nothing-else"
ROOM = 4 << 30
CLIENTS = ("psql", "pg_amcheck")
CONF = """
wal_level = replica
archive_mode = on
archive_command = '{tool} --config={config} --stanza=shop archive-push %p'
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
class Ground:
    """directory: socket, data/, repository/, sides/, marks/ and the program. Every file there goes with the test."""

    directory: Path
    version: int

    @property
    def marks(self) -> Path:
        return self.directory / "marks"

    @property
    def sides(self) -> Path:
        return self.directory / "sides"

    @property
    def repository(self) -> Path:
        return self.directory / "repository"

    def connect(self, database: str = "shop", **more: Any) -> psycopg.Connection[Any]:
        """A connection that commits by itself."""
        where = {"host": str(self.directory), "user": "postgres", **more}
        return psycopg.connect(dbname=database, autocommit=True, **where)

    def sql(self, statement: str, **more: Any) -> Any:
        """The first value of a statement's first row, None without rows."""
        with self.connect(**more) as connection:
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None

    def words(self, *words: str) -> list[str]:
        """The program's command line, as the server's user."""
        program = [sys.executable, "-I", str(self.directory / "physical-backup"), "--json", *words]
        if os.geteuid() != 0:
            return program
        return ["setpriv", f"--reuid={OS_USER}", f"--regid={OS_USER}", "--clear-groups", "--", *program]

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Begin a command of the program."""
        return subprocess.Popen(
            self.words(*words), env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )  # fmt: skip

    def environment(self) -> dict[str, str]:
        return {**os.environ, "SLIPWAY_BACKUP_CONFIG": str(self.directory / "physical.conf")}

    def ask(self, *words: str) -> tuple[int, dict[str, Any]]:
        """(status, answer) of a command of the program."""
        done = subprocess.run(
            self.words(*words), env=self.environment(), capture_output=True, text=True, check=False
        )
        assert done.stdout.startswith("{"), done.stderr
        return done.returncode, json.loads(done.stdout)

    def done(self, *words: str) -> dict[str, Any]:
        """The result of a command that has to go well."""
        status, answer = self.ask(*words)
        assert status == 0, answer
        return dict(answer["result"])

    def refused(self, status: int, *words: str) -> str:
        """What a command says that has to end with this status."""
        ended, answer = self.ask(*words)
        assert ended == status, answer
        return str(answer["message"])

    def mark(self, name: str) -> dict[str, Any]:
        """latest, restore-test or look, as whoever looks at the database reads it."""
        return dict(json.loads((self.marks / f"{name}.json").read_text()))

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
            "data": self.directory / "data", "onlookers": OS_USER,
        } | changed  # fmt: skip
        lines = "".join(f"{name} = {value}\n" for name, value in own.items())
        (self.directory / "physical.conf").write_text(f"[physical]\n{lines}")

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


@contextlib.contextmanager
def ground(version: int = clusters.USUAL) -> Iterator[Ground]:
    """A server with the shop in it, which archives, and its repository, which has no stanza yet."""
    made = Ground(Path(tempfile.mkdtemp(prefix="slipway-physical-", dir=_quick())), version)
    made.directory.chmod(0o755)
    for name in ("marks", "sides", "repository", "logs", "spool", "bin"):
        (made.directory / name).mkdir(mode=0o755)
    for source, names in ((clusters.programs(version), None), (clients(version), CLIENTS)):
        for path in source.iterdir() if names is None else (source / name for name in names):
            (made.directory / "bin" / path.name).symlink_to(path)
    (made.directory / "physical-backup").write_bytes(build_helper(PACKAGE))
    made.configure()
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", f"{OS_USER}:", made.directory], check=True)
    clusters.copy(template(version), made.directory / "data")
    with (made.directory / "data/postgresql.conf").open("a") as conf:
        conf.write(CONF.format(tool=tool(), config=made.directory / "pgbackrest.conf"))
    try:
        clusters.start(version, made.directory / "data", made.directory)
        yield made
    finally:
        for path in made.sides.glob("*/data/postmaster.pid"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(path.read_text().split()[0]), signal.SIGQUIT)
        clusters.stop(version, made.directory / "data")
        shutil.rmtree(made.directory)
