"""Two servers in a folder, 14 with a shop in it and 17 to come, and the program that moves the one to the other."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from fabfile.database import look
from fabfile.database.checks.judging import About
from fabfile.database.findings import Level, Report
from fabfile.programs.zipped import build_helper
from tests.database import clusters
from tests.database.backup_ground import clients, template
from tests.database.program_ground import PACKAGE
from tests.unit.plugins.test_postgresql_harness import OS_USER

# The program, killed as soon as it has written one line into its journal.
DYING = """
import os, signal, sys
path, step, phase = sys.argv[1:4]
sys.path.insert(0, path)
sys.argv[:4] = [path]
from database_backup import cli
from database_backup.upgrade.journal import Journal
write = Journal.write
def dying(self, name, how, **facts):
    write(self, name, how, **facts)
    if (name, how) == (step, phase):
        os.kill(os.getpid(), signal.SIGKILL)
Journal.write = dying
raise SystemExit(cli.main())
"""
OLD, NEW, PORT, SPARE = 14, 17, 5432, 5433
HEAD = "a3f6d8025b71"
CONF = """port = {port}
listen_addresses = ''
unix_socket_directories = '{socket}'
wal_level = logical
fsync = off
shared_preload_libraries = 'pg_stat_statements'
cluster_name = '14/main'
"""


# What programs that look at the server read: which of the two it is.
FOLLOWS = """programs = /usr/lib/postgresql/{version}/bin
VERSION, CLUSTER, PORT = "{version}", "main", "5432"
"unit": "postgresql@{version}-main", "version": "{version}"
"""


def as_owner(*words: str) -> list[str]:
    """A command as the servers' user, with that user's group: who shares both sees that user's processes."""
    if os.geteuid() != 0:
        return list(words)
    return ["setpriv", f"--reuid={OS_USER}", f"--regid={OS_USER}", "--clear-groups", "--", *words]


@dataclass
class Ground:
    """directory: the socket, 14/main and 17/main, the journal and the program. Every file there goes with the test."""

    directory: Path
    config: Path = field(init=False)

    def __post_init__(self) -> None:
        self.config = self.directory / "upgrade.conf"

    def data(self, version: int) -> Path:
        return self.directory / str(version) / "main"

    def connect(self, port: int = PORT, user: str = "postgres", **more: Any) -> psycopg.Connection[Any]:
        """A connection that commits by itself."""
        where = {"host": str(self.directory), "port": port, "dbname": "shop", **more}
        return psycopg.connect(user=user, autocommit=True, **where)

    def sql(self, statement: str, port: int = PORT, user: str = "postgres", **more: Any) -> Any:
        """The first value of a statement's first row, None without rows."""
        with self.connect(port, user, **more) as connection:
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None

    def words(self, command: str) -> list[str]:
        """The program's command line, as the servers' user."""
        program = str(self.directory / "database-upgrade")
        return as_owner(sys.executable, "-I", program, "--json", command, f"--to={NEW}")

    def ask(self, command: str, die_after: tuple[str, str] | None = None) -> tuple[int, dict[str, Any]]:
        """(status, answer) of a command of the program. die_after: the step and phase whose line is its last."""
        own = {**os.environ, "SLIPWAY_UPGRADE_CONFIG": str(self.config)}
        words = self.words(command)
        if die_after:
            words[words.index("-I") : words.index("-I") + 2] = [
                "-c", DYING, str(self.directory / "database-upgrade"), *die_after
            ]  # fmt: skip
        done = subprocess.run(words, env=own, capture_output=True, text=True, check=False)
        assert done.returncode < 0 or done.stdout.startswith("{"), done.stderr
        return done.returncode, json.loads(done.stdout or "{}")

    def done(self, command: str) -> dict[str, Any]:
        """The result of a command that has to go well."""
        status, answer = self.ask(command)
        assert status == 0, answer
        return dict(answer["result"])

    def refused(self, command: str) -> str:
        """What a command says that has to be refused."""
        status, answer = self.ask(command)
        assert status == 2, answer
        return str(answer["message"])

    def obstacles(self) -> dict[str, str]:
        """What the plan names: {what: sentence} of those that block."""
        return {each["what"]: each["say"] for each in self.done("plan")["obstacles"] if each["blocks"]}

    def worries(self) -> set[str]:
        """The checks of db-status that are not well, on the server that serves."""
        about = About("test", "shop", datetime.now(UTC), 0, head=HEAD)
        with self.connect(options="-c default_transaction_read_only=on -c lock_timeout=500") as session:
            server, parts = look.read(session, about, "db-1")
        found = Report("test", "shop", server, about.now, 0.0, tuple(parts)).findings
        return {each.check for each in found if each.level is not Level.OK}

    def serving(self) -> str:
        """The major version that answers on the service's port, as the service's own user."""
        return str(self.sql("SHOW server_version", user="shop")).split(".")[0]

    def journal(self) -> list[dict[str, Any]]:
        return [
            json.loads(line) for line in (self.directory / "state/journal.jsonl").read_text().splitlines()
        ]

    def configure(self, **changed: object) -> None:
        """Write the settings that the role would write."""
        own: dict[str, object] = {
            "database": "shop", "cluster": "main", "port": PORT, "spare": SPARE, "control": "plain", "account": "",
            "socket": self.directory, "folder": self.directory / "state", "clients": clients(OLD),
            "rehearsals": self.directory / "rehearsals", "follow": self.directory / "follows.conf", "physical": "no",
            "old": OLD, "old_conf": self.data(OLD), "old_data": self.data(OLD), "old_programs": clusters.programs(OLD),
            "new": NEW, "new_conf": self.data(NEW), "new_data": self.data(NEW), "new_programs": clusters.programs(NEW),
        } | changed  # fmt: skip
        self.config.write_text("[upgrade]\n" + "".join(f"{name} = {value}\n" for name, value in own.items()))


@dataclass
class Writer:
    """Somebody who orders without a pause: the numbers that were confirmed, errors, the longest wait."""

    ground: Ground
    kept: list[int] = field(default_factory=list)
    errors: int = 0
    longest: float = 0.0
    _ends: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Writer:
        self._thread = threading.Thread(target=self._write)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _write(self) -> None:
        connection: psycopg.Connection[Any] | None = None
        last = time.monotonic()
        while not self._ends.is_set():
            try:
                connection = connection or self.ground.connect(user="shop")
                statement = "INSERT INTO shop.orders (account) VALUES (1) RETURNING id"
                row = connection.execute(statement).fetchone()
                assert row is not None
                self.kept.append(row[0])
                self.longest, last = max(self.longest, time.monotonic() - last), time.monotonic()
                time.sleep(0.002)
            except psycopg.Error:
                self.errors += 1
                connection = None
                time.sleep(0.01)
        if connection:
            connection.close()


@contextlib.contextmanager
def ground() -> Iterator[Ground]:
    """A 14 with the shop in it, on the service's port."""
    made = Ground(Path(tempfile.mkdtemp(prefix="slipway-upgrade-", dir="/tmp")))
    made.directory.chmod(0o755)
    for name in (str(OLD), str(NEW), "state"):
        (made.directory / name).mkdir(mode=0o755)
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", f"{OS_USER}:", made.directory], check=True)
    data = made.data(OLD)
    clusters.copy(template(OLD), data)
    (data / "conf.d").mkdir()
    (data / "conf.d/slipway.conf").write_text(CONF.format(port=PORT, socket=made.directory))
    with (data / "postgresql.conf").open("a") as conf:
        conf.write("include_dir = 'conf.d'\n")
    subprocess.run(["chown", "-R", f"{OS_USER}:", data / "conf.d"], check=True)
    (made.directory / "database-upgrade").write_bytes(build_helper(PACKAGE))
    (made.directory / "follows.conf").write_text(FOLLOWS.format(version=OLD))
    subprocess.run(["chown", f"{OS_USER}:", made.directory / "follows.conf"], check=True)
    made.configure()
    log = made.directory / "14/postgresql-14-main.log"
    try:
        begun = as_owner(
            str(clusters.programs(OLD) / "pg_ctl"), "start", "-w", "-D", str(data), "-l", str(log)
        )
        subprocess.run(begun, check=True, stdout=subprocess.DEVNULL)
        made.sql("CREATE ROLE shop LOGIN; GRANT CONNECT ON DATABASE shop TO shop; GRANT USAGE ON SCHEMA shop TO shop; "
                 "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA shop TO shop")  # fmt: skip
        yield made
    finally:
        for path in made.directory.glob("*/*/postmaster.pid"):
            with contextlib.suppress(ProcessLookupError, ValueError):
                os.kill(int(path.read_text().split()[0]), signal.SIGQUIT)
        time.sleep(0.3)
        shutil.rmtree(made.directory, ignore_errors=True)
