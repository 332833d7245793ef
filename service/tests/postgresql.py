"""A PostgreSQL server of the tests' own: real binaries, a temporary folder, roles as on a host."""

import os
import pwd
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio
import asyncpg

BINARIES_VARIABLE = "SHOP_TEST_POSTGRESQL_BIN"
START_TIMEOUT = 30.0

# What the host's database role states once per cluster, and then for the database.
ROLES = """
CREATE ROLE shop_owner NOLOGIN;
CREATE ROLE shop_migrate LOGIN PASSWORD '{migrate_password}';
CREATE ROLE shop LOGIN PASSWORD '{password}';
GRANT shop_owner TO shop_migrate;
"""
PRIVILEGES = """
REVOKE ALL ON SCHEMA public FROM PUBLIC;
CREATE SCHEMA shop AUTHORIZATION shop_owner;
GRANT USAGE ON SCHEMA shop TO shop;
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA shop
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO shop;
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA shop
    GRANT USAGE, SELECT ON SEQUENCES TO shop;
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
timezone = 'Asia/Shanghai'
log_line_prefix = '%m [%p] %a '
"""


def binaries() -> Path:
    """The folder with initdb and postgres: named by the environment, or Debian's newest."""
    named = os.environ.get(BINARIES_VARIABLE)
    if named:
        folder = Path(named)
    else:
        folders = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
        if not folders:
            raise RuntimeError(
                "No PostgreSQL server is found under /usr/lib/postgresql: install the package postgresql, or "
                f"set {BINARIES_VARIABLE} to the folder that has initdb and postgres."
            )
        folder = max(folders, key=lambda path: int(re.sub(r"\D", "", path.parent.name) or 0))
    missing = [name for name in ("initdb", "postgres") if not (folder / name).exists()]
    if missing:
        raise RuntimeError(f"{folder} has no {' and no '.join(missing)}: correct {BINARIES_VARIABLE}.")
    return folder


def _unprivileged_user() -> str | None:
    """PostgreSQL refuses to run as root: the user it then runs as."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Cluster:
    """One server. `socket_directory` and `port` are its address; `password` opens role shop.

    root: the folder for all it has, which is there; a temporary one unless given.
    """

    access, configuration = ACCESS, SETTINGS
    # Nobody keeps what a test leaves.
    initdb: tuple[str, ...] = ("--no-sync",)

    def __init__(self, root: Path | None = None) -> None:
        self.binaries = binaries()
        self.user = _unprivileged_user()
        self.root = root or Path(tempfile.mkdtemp(prefix="shop-postgresql-"))
        self.socket_directory = self.root
        self.data = self.root / "data"
        self.log = self.root / "server.log"
        self.port = _free_port()
        self.password = secrets.token_urlsafe(24)
        self.migrate_password = secrets.token_urlsafe(24)
        self._server: subprocess.Popen[bytes] | None = None
        if self.user:
            shutil.chown(self.root, self.user)

    def _identity(self) -> dict[str, Any]:
        if self.user is None:
            return {}
        return {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []}

    def create(self) -> None:
        """Initialise the data folder."""
        command: list[str | Path] = [
            self.binaries / "initdb",
            f"--pgdata={self.data}",
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            *self.initdb,
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd="/", check=False, **self._identity()
        )
        if done.returncode != 0:
            raise RuntimeError(
                f"initdb failed as user {self.user or 'this one'}, who must be able to read "
                f"{self.binaries}:\n{done.stderr}"
            )
        (self.data / "pg_hba.conf").write_text(self.access)
        with (self.data / "postgresql.conf").open("a") as configuration:
            configuration.write(self.configuration)

    def enable_tls(self, certificate: bytes, key: bytes) -> None:
        """Serve TCP connections with this certificate from the next start on."""
        for name, content in (("server.crt", certificate), ("server.key", key)):
            path = self.data / name
            path.write_bytes(content)
            path.chmod(0o600)
            if self.user:
                shutil.chown(path, self.user)
        with (self.data / "postgresql.conf").open("a") as configuration:
            configuration.write("ssl = on\n")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with self.log.open("ab") as log:
            self._server = subprocess.Popen(
                [
                    self.binaries / "postgres",
                    "-D",
                    self.data,
                    "-p",
                    str(self.port),
                    "-k",
                    self.socket_directory,
                ],
                stdout=log,
                stderr=log,
                cwd="/",
                **self._identity(),
            )
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                anyio.run(self.execute, "postgres", "SELECT 1")
                return
            except (OSError, asyncpg.CannotConnectNowError):
                if self._server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start:\n{self.log.read_text()}") from None
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server, by its pid, cutting every connection."""
        if self._server is not None:
            self._server.send_signal(2)
            self._server.wait(timeout=START_TIMEOUT)
            self._server = None

    def remove(self) -> None:
        """Stop the server and delete all it had."""
        self.stop()
        shutil.rmtree(self.root)

    async def connect(self, database: str) -> "asyncpg.Connection[asyncpg.Record]":
        """A superuser's connection."""
        return await asyncpg.connect(
            host=str(self.socket_directory), port=self.port, user="postgres", database=database
        )

    async def execute(self, database: str, *statements: str) -> None:
        """Run statements as superuser, each on its own: some refuse to be in a transaction."""
        connection = await self.connect(database)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def fetch(self, database: str, query: str) -> list[asyncpg.Record]:
        """The rows of one query as superuser."""
        connection = await self.connect(database)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(query)
            return rows
        finally:
            await connection.close()

    async def create_roles(self) -> None:
        """The three roles a host has."""
        await self.execute(
            "postgres", ROLES.format(password=self.password, migrate_password=self.migrate_password)
        )

    async def create_database(self, name: str, template: str = "template0") -> None:
        """A database as the host's role makes it; from `template` when that is one of these already."""
        await self.execute("postgres", f"CREATE DATABASE {name} OWNER shop_owner TEMPLATE {template}")
        if template == "template0":
            await self.execute(name, PRIVILEGES)
