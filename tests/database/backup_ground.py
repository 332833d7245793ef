"""A throw-away server with a shop in it, and the backup program pointed at it; its clients are its own or 15's."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabfile.programs.zipped import build_helper
from tests.database import clusters, program_ground
from tests.database.clusters import programs
from tests.database.program_ground import PACKAGE
from tests.unit.plugins.test_postgresql_harness import OS_USER

SHOP = """
CREATE ROLE slipway_backup LOGIN CREATEDB CONNECTION LIMIT 4 IN ROLE pg_read_all_data;
CREATE ROLE shop_owner;
CREATE DATABASE shop OWNER shop_owner;
REVOKE ALL ON DATABASE shop FROM PUBLIC;
GRANT CONNECT ON DATABASE shop TO slipway_backup;
"""
TABLES = """
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
CREATE EXTENSION pg_stat_statements;
SET ROLE shop_owner;
CREATE SCHEMA shop;
CREATE TABLE shop.alembic_version (version_num text PRIMARY KEY);
INSERT INTO shop.alembic_version VALUES ('a3f6d8025b71');
CREATE TABLE shop.accounts (id int PRIMARY KEY, name text NOT NULL CHECK (name <> ''));
CREATE TABLE shop.orders (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account int NOT NULL REFERENCES shop.accounts, note bytea);
CREATE TABLE shop."Od""d; name's
" (id int);
CREATE INDEX ON shop.orders (account);
INSERT INTO shop.accounts SELECT n, 'account ' || n FROM generate_series(1, 50) n;
INSERT INTO shop.orders (account) SELECT n % 50 + 1 FROM generate_series(1, 500) n;
INSERT INTO shop."Od""d; name's
" VALUES (1), (2);
"""
CONF = """
listen_addresses = ''
fsync = off
shared_preload_libraries = 'pg_stat_statements'
"""


def clients(version: int) -> Path:
    """The folder of psql and pg_dump: the server's own, else those of 15, which serve a 14 as well."""
    own = programs(version)
    return own if (own / "pg_dump").exists() else programs(15)


@dataclass(frozen=True)
class Ground(program_ground.Ground):
    """directory: socket, data/, backups/ and the program."""

    PROGRAM = "database-backup"
    CONFIG = "backup.conf"
    MARKS = "backups"

    @property
    def backups(self) -> Path:
        return self.marks

    def start(self) -> None:
        """Start the server."""
        clusters.start(self.version, self.directory / "data", self.directory)

    def stop(self) -> None:
        """Stop the server at once; nothing is done when it is not running."""
        clusters.stop(self.version, self.directory / "data")

    def sql(self, statement: str, database: str = "shop") -> list[tuple[Any, ...]]:
        """The rows of a statement."""
        with self.connect(database) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def databases(self) -> set[str]:
        """The names of all databases that are not the server's own."""
        rows = self.sql("SELECT datname FROM pg_database WHERE datname NOT LIKE 'template%'", "postgres")
        return {name for (name,) in rows} - {"postgres"}

    def backup(self, *words: str) -> dict[str, Any]:
        """The record of a backup; it has to go well."""
        return self.done("backup", *words)

    def names(self) -> list[str]:
        """What lies in the folder, but for the locks."""
        return sorted(path.name for path in self.backups.iterdir() if not path.name.endswith(".lock"))

    def configure(self, **changed: object) -> None:
        """Write the settings that the role would write."""
        own = {
            "database": "shop", "folder": self.backups, "keep": 3, "user": "slipway_backup", "socket": self.directory,
            "port": 5432, "programs": clients(self.version), "data": self.directory,
            "live": self.directory / "current",
        } | changed  # fmt: skip
        lines = "".join(f"{name} = {value}\n" for name, value in own.items())
        self.config.write_text(f"[backup]\n{lines}")


@functools.cache
def template(version: int) -> Path:
    """A server's data with the shop in it, stopped in order."""

    def filled(data: Path) -> None:
        with (data / "postgresql.conf").open("a") as settings:
            settings.write(CONF)
        clusters.start(version, data, data.parent)
        made = Ground(data.parent, version)
        with made.connect("postgres") as connection:
            for statement in SHOP.strip().split(";\n"):
                connection.execute(statement.encode())
        made.sql(TABLES)
        clusters.stop(version, data, "fast")

    return clusters.filled("backup", version, filled)


@contextmanager
def ground(version: int) -> Iterator[Ground]:
    """A server of this version with the shop in it."""
    made = Ground(Path(tempfile.mkdtemp(prefix=f"slipway-backup-{version}-", dir="/tmp")), version)
    if os.geteuid() == 0:
        shutil.chown(made.directory, OS_USER)
    made.directory.chmod(0o755)
    clusters.copy(template(version), made.directory / "data")
    (made.directory / "database-backup").write_bytes(build_helper(PACKAGE))
    made.backups.mkdir(mode=0o700)
    (made.directory / "current").symlink_to("releases/20261122T160501Z-3f2a9c1")
    made.configure()
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(made.directory)
