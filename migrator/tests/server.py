"""A PostgreSQL server of the tests' own: real binaries, a temporary folder, the roles that a host has."""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
import psycopg.rows

BINARIES_VARIABLE = "SLIPWAY_TEST_POSTGRESQL_BIN"
START_SECONDS = 30.0
ROLES = """
CREATE ROLE notes_owner NOLOGIN;
CREATE ROLE notes_migrate LOGIN PASSWORD '{password}';
CREATE ROLE notes LOGIN PASSWORD '{password}';
GRANT notes_owner TO notes_migrate;
"""
PRIVILEGES = """
REVOKE ALL ON SCHEMA public FROM PUBLIC;
CREATE SCHEMA notes AUTHORIZATION notes_owner;
GRANT USAGE ON SCHEMA notes TO notes;
ALTER DEFAULT PRIVILEGES FOR ROLE notes_owner IN SCHEMA notes GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO notes;
"""
ACCESS = """
local   all  postgres  trust
local   all  all       scram-sha-256
hostssl all  all       127.0.0.1/32  scram-sha-256
"""
SETTINGS = """
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 60
listen_addresses = '127.0.0.1'
"""


def binaries() -> Path:
    """The folder with initdb and postgres: named by the environment, or Debian's newest."""
    named = os.environ.get(BINARIES_VARIABLE)
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    folder = Path(named) if named else found[-1] if found else Path("/nowhere")
    if not (folder / "initdb").exists():
        raise RuntimeError(
            f"No PostgreSQL server is found: set {BINARIES_VARIABLE} to a folder that has initdb."
        )
    return folder


class Server:
    """One server; `directory` (of its socket) and `port` are its address, `password` opens each role."""

    def __init__(self) -> None:
        self.binaries = binaries()
        # PostgreSQL refuses to run as root.
        names = {entry.pw_name for entry in pwd.getpwall()}
        self.user = ("postgres" if "postgres" in names else "nobody") if os.geteuid() == 0 else None
        self.directory = Path(tempfile.mkdtemp(prefix="migrator-postgresql-"))
        self.password = secrets.token_urlsafe(24)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port: int = listener.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        if self.user:
            shutil.chown(self.directory, self.user)

    def _as_user(self) -> dict[str, Any]:
        group = pwd.getpwnam(self.user).pw_gid if self.user else None
        return {"user": self.user, "group": group, "extra_groups": []} if self.user else {}

    def start(self, certificate: bytes, key: bytes) -> None:
        """Make its files, start it, and wait until it answers."""
        data = self.directory / "data"
        words = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        done = subprocess.run(
            [self.binaries / "initdb", f"--pgdata={data}", *words],
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
            **self._as_user(),
        )
        assert done.returncode == 0, done.stderr
        for name, content in (("server.crt", certificate), ("server.key", key)):
            (data / name).write_bytes(content)
            (data / name).chmod(0o600)
            if self.user:
                shutil.chown(data / name, self.user)
        (data / "pg_hba.conf").write_text(ACCESS)
        with (data / "postgresql.conf").open("a") as configuration:
            configuration.write(SETTINGS + "ssl = on\n")
        log = self.directory / "server.log"
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                [self.binaries / "postgres", "-D", data, "-p", str(self.port), "-k", self.directory],
                stdout=stream,
                stderr=stream,
                cwd="/",
                **self._as_user(),
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.connect("postgres").close()
                break
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}") from None
                time.sleep(0.05)
        self.execute("postgres", ROLES.format(password=self.password))

    def remove(self) -> None:
        """End the server, by its pid, and delete all it had."""
        if self._process is not None:
            self._process.send_signal(2)
            self._process.wait(timeout=START_SECONDS)
        shutil.rmtree(self.directory)

    def connect(self, database: str) -> "psycopg.Connection[dict[str, Any]]":
        """A superuser's connection in autocommit, which finds the service's tables."""
        return psycopg.connect(
            host=str(self.directory),
            port=self.port,
            user="postgres",
            dbname=database,
            autocommit=True,
            options="-c search_path=notes",
            application_name="somebody",
            row_factory=psycopg.rows.dict_row,
        )

    def execute(self, database: str, *statements: str) -> None:
        """Run statements as superuser, each on its own."""
        with self.connect(database) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def fetch(self, database: str, query: str) -> list[dict[str, Any]]:
        """The rows of one query as superuser."""
        with self.connect(database) as connection:
            return connection.execute(query.encode()).fetchall()

    def create_database(self, name: str, template: str = "template0") -> None:
        """A database as the host's role makes it; from `template` when that is one of these already."""
        self.execute("postgres", f"CREATE DATABASE {name} OWNER notes_owner TEMPLATE {template}")
        if template == "template0":
            self.execute(name, PRIVILEGES)
