"""On each server from 14 to 17: every query is asked, a healthy one is in peace, and faults are named together."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from fabfile.database.asking import queries
from fabfile.database.checks.thresholds import Threshold
from fabfile.database.findings import Level
from tests.database.status_ground import Cluster, found, running, until, wrong
from tests.unit.plugins.test_postgresql_harness import owned_directory

OWN = "SQL, views and their columns are each server's own"
AT_ONCE = Threshold(0, 0, "s")
LEFT_BEHIND = (
    "CREATE TABLE shop.twice AS SELECT 1 AS id FROM generate_series(1, 2)",
    "CREATE TABLE shop.dead (id int) WITH (autovacuum_enabled = off)",
    "INSERT INTO shop.dead SELECT generate_series(1, 30000)",
    "ANALYZE shop.dead",
    "UPDATE shop.dead SET id = id + 1",
    "ALTER TABLE shop.orders ADD CONSTRAINT late CHECK (id > 0) NOT VALID",
    "CREATE SEQUENCE shop.ending AS smallint",
    "SELECT setval('shop.ending', 32000)",
    "GRANT SELECT ON SEQUENCE shop.ending TO slipway_ops",
    "SELECT pg_create_physical_replication_slot('dead', true)",
    "ALTER SYSTEM SET work_mem = '8MB'",
    "ALTER SYSTEM SET archive_command = 'false'",
    "ALTER SYSTEM SET max_connections = 50",
    "SELECT pg_reload_conf()",
    "INSERT INTO shop.orders (state) SELECT repeat('x', 500) FROM generate_series(1, 4000)",
    "SELECT pg_switch_wal()",
)
NAMED = {
    "blocked", "longest-query", "oldest-transaction", "idle-in-transaction", "prepared-transactions", "slot-room",
    "archiving", "dead-tuples", "autovacuum", "bloat", "invalid-indexes", "constraints", "sequences",
    "pending-restart", "settings-drift", "settings-files", "hba", "access",
}  # fmt: skip


@pytest.fixture
def locales() -> Iterator[Path]:
    """A folder of locales with one whose order the system's library gives a version."""
    folder = owned_directory("slipway-locales-")
    folder.chmod(0o755)
    subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", folder / "de_DE.UTF-8"], check=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def server(version: int) -> Iterator[Cluster]:
    """A server that is not used again."""
    with running(version) as made:
        yield made


@pytest.mark.every_version(OWN)
def test_every_query_is_asked_and_a_healthy_server_is_in_peace(
    server: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[str] = set()
    composed = queries.composed

    def noted(connection: psycopg.Connection[object], name: str, *more: object, **parts: object) -> object:
        asked.add(name)
        return composed(connection, name, *more, **parts)  # type: ignore[arg-type]

    monkeypatch.setattr(queries, "composed", noted)
    report = server.look()
    assert wrong(report) == {}
    assert report.exit_code == 0
    assert asked == {file.name.partition(".")[0] for file in queries.FOLDER.glob("*.sql")}


@pytest.mark.every_version(OWN)
def test_faults_that_come_together_are_each_named(server: Cluster) -> None:
    server.execute(*LEFT_BEHIND)
    with pytest.raises(psycopg.errors.UniqueViolation):
        server.execute("CREATE UNIQUE INDEX CONCURRENTLY twice_id ON shop.twice (id)")
    for name, line in (
        ("pg_hba.conf", "local all all nonsense\n"),
        ("postgresql.conf", "wal_buffers = 'x'\n"),
    ):
        file = server.data / name
        file.write_text(file.read_text() + line)
    hba = server.data / "pg_hba.conf"
    hba.write_text(hba.read_text() + "host all all 192.0.2.0/24 trust\n")
    prepared = server.connect()
    prepared.execute("BEGIN")
    prepared.execute("UPDATE shop.orders SET state = 'x' WHERE id = 3")
    prepared.execute("PREPARE TRANSACTION 'left behind'")
    root, waiting = server.connect("shop"), server.connect("shop")
    root.execute("BEGIN")
    root.execute("UPDATE shop.orders SET state = 'x' WHERE id = 1")
    behind = threading.Thread(
        target=waiting.execute, args=("UPDATE shop.orders SET state = 'y' WHERE id = 1",)
    )
    behind.start()
    watcher = server.connect()
    holds = """
        SELECT (SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock')
          AND (SELECT last_failed_time IS NOT NULL FROM pg_stat_archiver)
          AND (SELECT n_dead_tup > 10000 FROM pg_stat_user_tables WHERE relname = 'dead')
    """
    try:
        until(lambda: watcher.execute(holds).fetchone() == (True,))
        report = server.look(
            blocked=AT_ONCE, longest_query=AT_ONCE, oldest_transaction=AT_ONCE, idle_in_transaction=AT_ONCE,
            prepared_transactions=AT_ONCE, slot_room=Threshold(0.001, 0.01, "%"),
            bloat=Threshold(1 << 19, 4 << 20, "B"),
        )  # fmt: skip
    finally:
        root.execute("ROLLBACK")
        behind.join()
    assert wrong(report).keys() >= NAMED, NAMED - wrong(report).keys()
    assert [each.check for each in report.findings if each.level is Level.UNKNOWN] == []
    assert found(report, "blocked").level is Level.CRITICAL


@pytest.mark.every_version(OWN)
def test_an_order_that_changed_with_the_systems_library_is_told_until_what_is_said_was_done(
    version: int, locales: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index that was built by the order of before finds no longer what is there."""
    monkeypatch.setenv("LOCPATH", str(locales))
    with running(version) as server:
        sorts = "TEMPLATE template0 LC_COLLATE 'de_DE.UTF-8' LC_CTYPE 'de_DE.UTF-8'"
        where = f"host={server.directory} port={server.port} user=postgres dbname=postgres"
        with psycopg.connect(where, autocommit=True) as session:
            for statement in ("ALTER DATABASE shop RENAME TO plain", f"CREATE DATABASE shop {sorts}"):
                session.execute(statement.encode())
        # initdb does this for each locale that it finds.
        server.execute(
            "SET allow_system_table_mods = on; "
            """CREATE COLLATION pg_catalog."de_DE.utf8" (PROVIDER = libc, LOCALE = 'de_DE.UTF-8')""",
            'CREATE TABLE sorted (name text COLLATE "de-x-icu" PRIMARY KEY)',
        )
        assert found(server.look(), "collations").level is Level.OK
        server.execute(
            "UPDATE pg_collation SET collversion = '1' WHERE collname IN ('de_DE.utf8', 'de-x-icu')"
        )
        if version > 14:
            server.execute("UPDATE pg_database SET datcollversion = '1' WHERE datname = 'shop'")
        database = "database shop" if version > 14 else 'pg_catalog."de_DE.utf8"'
        told = found(server.look(), "collations")
        assert (told.level, set(told.subjects)) == (Level.WARN, {database, 'pg_catalog."de-x-icu"'})
        for _ in told.subjects:
            server.execute(*found(server.look(), "collations").command.rstrip(";").split("; "))
        assert found(server.look(), "collations").level is Level.OK
