"""A throw-away server of each version, with the project's roles and a small shop, for the toolbox's tests."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.database import clusters
from tests.unit.plugins.test_postgresql_harness import owned_directory

PATIENCE = 60.0
CONF = """
listen_addresses = ''
fsync = off
shared_preload_libraries = 'pg_stat_statements'
pg_stat_statements.track = all
deadlock_timeout = 10min
max_prepared_transactions = 4
autovacuum = off
"""
ROLES = """
CREATE ROLE slipway_ops LOGIN IN ROLE pg_monitor;
ALTER ROLE slipway_ops SET default_transaction_read_only = on;
ALTER ROLE slipway_ops SET statement_timeout = '30s';
ALTER ROLE slipway_ops SET lock_timeout = '1s';
CREATE ROLE slipway_signal LOGIN IN ROLE pg_monitor, pg_signal_backend;
CREATE ROLE slipway_backup LOGIN IN ROLE pg_read_all_data;
CREATE ROLE shop LOGIN;
CREATE DATABASE shop;
"""
SHOP = """
CREATE EXTENSION pg_stat_statements;
CREATE EXTENSION pgstattuple;
GRANT SELECT ON pg_hba_file_rules, pg_file_settings TO slipway_ops;
GRANT EXECUTE ON FUNCTION pg_hba_file_rules(), pg_show_all_file_settings() TO slipway_ops;
CREATE SCHEMA shop;
SET search_path TO shop;
CREATE TABLE accounts (id int PRIMARY KEY, email text);
CREATE TABLE orders (id bigint PRIMARY KEY, account int REFERENCES accounts, state text, placed timestamptz);
CREATE TABLE lines (id int PRIMARY KEY, "order" bigint REFERENCES orders, sku text);
CREATE INDEX lines_order ON lines ("order");
CREATE INDEX orders_state ON orders (state);
CREATE INDEX orders_state_too ON orders (state);
CREATE INDEX orders_state_placed ON orders (state, placed);
CREATE TABLE "hostile"" ; name\x1b[2J" (id int);
INSERT INTO accounts SELECT n, 'person-' || n FROM generate_series(1, 2000) AS n;
INSERT INTO orders SELECT n, n % 2000 + 1, 'paid', now() FROM generate_series(1, 5000) AS n;
GRANT USAGE ON SCHEMA shop TO shop;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA shop TO shop;
ANALYZE;
"""


@dataclass
class Ground:
    """A running server; directory holds its socket and its data."""

    directory: Path
    version: int
    opened: list[psycopg.Connection[Any]] = field(default_factory=list)

    def connect(self, role: str = "postgres", application: str = "", **more: Any) -> psycopg.Connection[Any]:
        """A connection that commits by itself, and is closed at the test's end."""
        made = psycopg.connect(
            host=str(self.directory),
            user=role,
            dbname="shop",
            application_name=application,
            autocommit=True,
            **more,
        )
        self.opened.append(made)
        return made

    def holding(self, statement: str, role: str = "shop", application: str = "") -> psycopg.Connection[Any]:
        """A session that is idle in a transaction after the statement."""
        made = self.connect(role, application)
        made.execute("BEGIN")
        made.execute(statement.encode())
        return made

    @contextmanager
    def running(self, statement: str, role: str = "shop", application: str = "") -> Iterator[Running]:
        """A session in which the statement runs, from the moment on that the server says so."""
        session = Running(self.connect(role, application), statement)
        session.thread.start()
        watcher = self.connect()
        try:
            wait_for(lambda: _state(watcher, session.pid) == "active")
            yield session
        finally:
            watcher.execute("SELECT pg_terminate_backend(%s)", (session.pid,))
            session.thread.join(PATIENCE)
            assert not session.thread.is_alive()

    def wait_until_blocked(self, *pids: int) -> None:
        """Until each of the sessions waits for a lock."""
        watcher = self.connect()
        asked = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY (%s) AND wait_event_type = 'Lock'"
        wait_for(lambda: watcher.execute(asked, (list(pids),)).fetchone() == (len(pids),))


class Running:
    """One statement in a session of its own; failure: how it ended, if not well."""

    def __init__(self, connection: psycopg.Connection[Any], statement: str) -> None:
        self.connection, self.statement = connection, statement
        self.pid = connection.info.backend_pid
        self.failure: psycopg.Error | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.connection.execute(self.statement.encode())
        except psycopg.Error as failure:
            self.failure = failure


def _state(watcher: psycopg.Connection[Any], pid: int) -> str:
    row = watcher.execute("SELECT state FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone()
    return str(row[0]) if row else ""


def wait_for(holds: Callable[[], bool]) -> None:
    """Until it holds; a machine may be slow, so the limit is wide."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="session")
def server(version: int) -> Iterator[Ground]:
    """One server a version for all tests of the toolbox."""
    directory = owned_directory("slipway-tools-")
    data = directory / "data"
    clusters.copy(clusters.empty(version), data)
    with (data / "postgresql.conf").open("a") as settings:
        settings.write(CONF)
    clusters.start(version, data, directory)
    ground = Ground(directory, version)
    try:
        with psycopg.connect(
            host=str(directory), user="postgres", dbname="postgres", autocommit=True
        ) as made:
            for statement in filter(None, map(str.strip, ROLES.split(";\n"))):
                made.execute(statement.encode())
        with ground.connect() as made:
            made.execute(SHOP.encode())
        yield ground
    finally:
        clusters.stop(version, data)
        shutil.rmtree(directory)


@pytest.fixture
def ground(server: Ground) -> Iterator[Ground]:
    """The server, with every connection of the test closed at its end, and their sessions gone."""
    yield server
    pids = [each.info.backend_pid for each in server.opened if not each.closed]
    for each in server.opened:
        each.close()
    server.opened.clear()
    with psycopg.connect(
        host=str(server.directory), user="postgres", dbname="postgres", autocommit=True
    ) as watcher:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY (%s)"
        wait_for(lambda: watcher.execute(asked, (pids,)).fetchone() == (0,))


__all__ = ["Ground", "ground", "server", "wait_for"]
