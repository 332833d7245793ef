"""A large database in a bad hour: many tables, locks and waiters, small faults, and WAL on a full disk of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import psycopg.pq.abc

from fabfile.database.checks.judging import About
from fabfile.database.checks.thresholds import Threshold
from fabfile.database.findings import Report
from tests.database import clusters
from tests.database.status_ground import HEAD, Cluster, template, until
from tests.unit.plugins.test_postgresql_harness import OS_USER, owned_directory

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "templates/usr/local/lib/slipway/{{ app_name }}/look-at-postgresql-files.j2"
TABLES, PARTITIONS, HOLDERS, WAITERS = 5_000, 500, 120, 400
CONF = """
max_connections = 460
max_locks_per_transaction = 256
autovacuum_naptime = '1h'
max_slot_wal_keep_size = -1
"""
CATALOGUE = f"""
DO $$ BEGIN FOR n IN 1..{TABLES} LOOP
  EXECUTE format('CREATE TABLE shop.t%s (id int PRIMARY KEY, state text)', n);
  IF n % 500 = 0 THEN COMMIT; END IF;
END LOOP; END $$;
CREATE TABLE shop.parts (id int, day int) PARTITION BY RANGE (day);
DO $$ BEGIN FOR n IN 1..{PARTITIONS} LOOP
  EXECUTE format('CREATE TABLE shop.parts_%s PARTITION OF shop.parts FOR VALUES FROM (%s) TO (%s)', n, n, n + 1);
END LOOP; END $$;
DO $$ BEGIN FOR n IN 1..205 LOOP
  EXECUTE format('CREATE SEQUENCE shop.moved_%s', n);
  EXECUTE format('GRANT SELECT ON SEQUENCE shop.moved_%s TO slipway_ops', n);
  PERFORM setval('shop.moved_' || n, 900000);
END LOOP; END $$;
CREATE SEQUENCE shop.unseen_1;
CREATE SEQUENCE shop.unseen_2;
REVOKE ALL ON SEQUENCE shop.unseen_1, shop.unseen_2 FROM slipway_ops;
ALTER TABLE shop.t4711 SET (autovacuum_enabled = 'no');
CREATE TABLE shop.twice AS SELECT 1 AS id FROM generate_series(1, 2);
GRANT SELECT ON shop.parts TO shop;
SELECT pg_create_logical_replication_slot('cdc', 'pgoutput');
ANALYZE shop.orders;
"""


@contextmanager
def large() -> Iterator[Cluster]:
    """The server with its locks and its waiters, until the block ends. Only root mounts the disk of WAL."""
    cluster = Cluster(owned_directory("slipway-catalogue-"), clusters.USUAL)
    disk = cluster.directory / "wal"
    try:
        clusters.copy(template(cluster.version), cluster.data)
        with (cluster.data / "postgresql.conf").open("a") as settings:
            settings.write(CONF)
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m,mode=0700", "tmpfs", disk], check=True)
        shutil.chown(disk, OS_USER)
        clusters.copy(cluster.data / "pg_wal", disk / "pg_wal")
        shutil.rmtree(cluster.data / "pg_wal")
        (cluster.data / "pg_wal").symlink_to(disk / "pg_wal")
        cluster.start()
        _fill(cluster)
        opened = _crowd(cluster)
        _fill_to(disk, 0.95)
        yield cluster
        for each in opened:
            each.finish()
    finally:
        cluster.stop()
        subprocess.run(["umount", "-q", disk], check=False)
        shutil.rmtree(cluster.directory)


def _fill(cluster: Cluster) -> None:
    with cluster.connect() as session:
        for statement in _statements(CATALOGUE):
            session.execute(statement.encode())
        try:
            session.execute("CREATE UNIQUE INDEX CONCURRENTLY twice_id ON shop.twice (id)")
        except psycopg.errors.UniqueViolation:
            # Left invalid; as one that was cut off at once, it has no pages.
            session.execute("UPDATE pg_class SET relpages = 0 WHERE relname = 'twice_id'")


def _statements(script: str) -> list[str]:
    """The statements, blocks of code whole."""
    found, inside = [""], False
    for line in script.splitlines():
        found[-1] += line + "\n"
        inside = inside != (line.count("$$") % 2 == 1)
        if line.endswith(";") and not inside:
            found.append("")
    return [each for each in found if each.strip()]


def _crowd(cluster: Cluster) -> list[psycopg.pq.abc.PGconn]:
    """Sessions that wait for one row, many of them with a lock on each partition."""
    root = cluster.connect("postgres", application_name="the root of it")
    root.execute("BEGIN")
    root.execute("UPDATE shop.orders SET state = 'x' WHERE id = 1")
    words = f"host={cluster.directory} dbname=shop user=postgres application_name=crowd".encode()
    opened = []
    for number in range(WAITERS):
        made = psycopg.pq.PGconn.connect(words)
        assert made.status == psycopg.pq.ConnStatus.OK, made.error_message
        lock = b"LOCK TABLE shop.parts IN ACCESS SHARE MODE;" if number < HOLDERS else b""
        made.send_query(b"BEGIN;" + lock + b"UPDATE shop.orders SET state = 'y' WHERE id = 1")
        opened.append(made)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with cluster.connect() as watcher:
        until(lambda: watcher.execute(waiting).fetchone() == (WAITERS,))
        row = watcher.execute("SELECT count(*) FROM pg_locks").fetchone()
        assert row is not None
        assert row[0] >= HOLDERS * PARTITIONS
    return opened


def _fill_to(disk: Path, share: float) -> None:
    seen = os.statvfs(disk)
    wanted = int(seen.f_blocks * seen.f_frsize * share) - (seen.f_blocks - seen.f_bfree) * seen.f_frsize
    with (disk / "ballast").open("wb") as ballast:
        os.posix_fallocate(ballast.fileno(), 0, wanted)


def facts(cluster: Cluster) -> dict[str, Any]:
    return facts_of(cluster.version, cluster.directory, cluster.port)


def facts_of(version: int, directory: Path, port: int) -> dict[str, Any]:
    """What the host's own program says of a server's files, asked as on a host; directory: its socket's."""
    text = (
        PROGRAM.read_text()
        .partition("#!/usr/bin/python3 -I\n")[2]
        .replace("{{ slipway_managed | comment }}", "")
    )
    for name, value in (("version", version), ("cluster", "main"), ("port", port)):
        text = text.replace(f"{{{{ postgresql_{name} }}}}", str(value))
    text = text.replace("/var/run/postgresql", str(directory))
    done = subprocess.run([sys.executable, "-I", "-c", text], capture_output=True, text=True, check=True)
    return {"server": json.loads(done.stdout), "disks": {}}


def look(cluster: Cluster, seen: dict[str, Any]) -> Report:
    """A report of it, with what its host says."""
    about = About("test", "shop", datetime.now(UTC), 0, head=HEAD)
    return cluster.look(about=replace(about, facts=seen), blocked=Threshold(0, 0, "s"))
