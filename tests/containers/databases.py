"""A PostgreSQL of the lab's beside the engine, which containers reach by its socket's folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.database import clusters
from tests.unit.plugins.test_postgresql_harness import owned_directory

# Where a container has the folder.
FOLDER = "/run/postgresql"
# What the role postgresql states on a host.
ROLES = """
CREATE ROLE {app}_owner NOLOGIN;
CREATE ROLE {app}_migrate LOGIN;
CREATE ROLE {app} LOGIN;
GRANT {app}_owner TO {app}_migrate;
CREATE DATABASE {app} OWNER {app}_owner;
"""
SCHEMA = """
REVOKE ALL ON SCHEMA public FROM PUBLIC;
CREATE SCHEMA {app} AUTHORIZATION {app}_owner;
GRANT USAGE ON SCHEMA {app} TO {app};
ALTER DEFAULT PRIVILEGES FOR ROLE {app}_owner IN SCHEMA {app} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {app};
ALTER DEFAULT PRIVILEGES FOR ROLE {app}_owner IN SCHEMA {app} GRANT USAGE, SELECT ON SEQUENCES TO {app};
"""


def execute(folder: Path, database: str, statements: str) -> None:
    """Each by itself, as the server's owner."""
    with psycopg.connect(host=str(folder), dbname=database, user="postgres", autocommit=True) as connection:
        for statement in filter(str.strip, statements.split(";")):
            connection.execute(statement.encode())


@contextmanager
def server(*apps: str) -> Iterator[Path]:
    """The folder of its socket; it has an empty database for each of these services."""
    folder = owned_directory("slipway-containers-")
    # Another user's container goes through it.
    folder.chmod(0o755)
    data = folder / "data"
    try:
        clusters.copy(clusters.empty(clusters.USUAL), data)
        clusters.start(clusters.USUAL, data, folder)
        for app in apps:
            execute(folder, "postgres", ROLES.format(app=app))
            execute(folder, app, SCHEMA.format(app=app))
        yield folder
    finally:
        clusters.stop(clusters.USUAL, data)
        shutil.rmtree(folder)
