"""Slots that nobody reads: how long, how much WAL they keep, what they hold back, and when they are lost."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fabfile.database.checks.judging import About
from fabfile.database.checks.thresholds import Threshold
from fabfile.database.findings import Level
from tests.database.status_ground import HEAD, Cluster, cluster, found, one_a_version, until, wrong

DROP = "SELECT pg_drop_replication_slot('dead');"
FILL = "INSERT INTO shop.orders (state) SELECT repeat('x', 500) FROM generate_series(1, 2000)"
HOUR = 3600
ABOUT = About("test", "shop", datetime.now(UTC), 0, head=HEAD)


@pytest.fixture
def dead(cluster: Cluster) -> Iterator[str]:
    """The file of WAL that a slot which nobody reads would read next, full and followed by others."""
    with cluster.connect() as session:
        session.execute("SELECT pg_create_physical_replication_slot('dead', true)")
        row = session.execute("SELECT pg_walfile_name(restart_lsn) FROM pg_replication_slots").fetchone()
        assert row is not None
        session.execute("SELECT pg_switch_wal()")
        session.execute(FILL.encode())
        yield str(row[0])
        session.execute(DROP.encode())


def test_one_that_was_left_just_now_is_in_peace_until_it_keeps_much(cluster: Cluster, dead: str) -> None:
    assert wrong(cluster.look()) == {}
    strict = found(cluster.look(slot_room=Threshold(0.001, 0.01, "%")), "slot-room")
    assert strict.level is Level.CRITICAL
    assert strict.command == DROP
    assert strict.value is not None
    # Of the 8 GB that max_slot_wal_keep_size has it keep.
    assert strict.value > 0.01


@pytest.mark.every_version(
    "17 says since when a slot is unread, and what makes one lost changed from version to version"
)
def test_one_that_nobody_has_read_for_long_is_a_warning(cluster: Cluster, dead: str) -> None:
    if cluster.version < 17:
        # The server does not say since when; the WAL that the slot would read next does.
        before = time.time() - HOUR
        os.utime(cluster.data / "pg_wal" / dead, (before, before))
        report = cluster.look()
        assert "was read by nobody for at least 1 h" in found(report, "slot-unread").sentence
    else:
        report = cluster.look(slot_unread=Threshold(0, None, "s"))
        assert "was read by nobody for 0." in found(report, "slot-unread").sentence
    assert wrong(report).keys() == {"slot-unread"}
    assert found(report, "slot-unread").command == DROP


def test_one_that_would_fill_the_disk_of_wal_is_critical(cluster: Cluster, dead: str) -> None:
    disk = {"device": 1, "size": 10**9, "free": 10**6, "used": 10**8, "inodes": 0, "inodes_free": 0}
    places = [
        {"what": "data", "path": "/data", **disk, "free": 10**9},
        {"what": "WAL", "path": "/wal", **disk},
    ]
    facts = {"server": {"places": places}}
    report = cluster.look(about=replace(ABOUT, facts=facts))
    assert "the disk of pg_wal has 977 kB free" in found(report, "slot-room").sentence
    assert found(report, "slot-room").level is Level.CRITICAL
    assert found(report, "wal-room").level is Level.WARN


@pytest.mark.every_version(
    "17 says since when a slot is unread, and what makes one lost changed from version to version"
)
def test_one_that_has_lost_its_wal_is_critical(cluster: Cluster, dead: str) -> None:
    with cluster.connect() as session:
        session.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
        session.execute("SELECT pg_reload_conf()")
        try:
            for _ in range(4):
                session.execute("SELECT pg_switch_wal()")
                session.execute(FILL.encode())
            before = cluster.look()
            session.execute("CHECKPOINT")
            status = "SELECT wal_status IN ('unreserved', 'lost') FROM pg_replication_slots"
            until(lambda: session.execute(status).fetchone() == (True,))
            report = cluster.look()
        finally:
            session.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
            session.execute("SELECT pg_reload_conf()")
    assert found(report, "slots").level is Level.CRITICAL
    assert "The slot dead is lost" in found(report, "slots").sentence
    assert found(report, "slots").command == DROP
    # Who reads it may yet come back in time.
    assert found(before, "slots").level is Level.CRITICAL
    assert "more than max_slot_wal_keep_size, and is lost at a checkpoint" in found(before, "slots").sentence
    assert "pg_drop_replication_slot" not in found(before, "slots").command
    assert "max_slot_wal_keep_size is 1MB, not 8GB (ALTER SYSTEM)" in found(before, "settings-drift").sentence


def test_how_far_one_is_from_being_lost_is_said(cluster: Cluster, dead: str) -> None:
    limited = found(cluster.look(), "slot-room")
    with cluster.connect() as session:
        keep = "SELECT current_setting('max_slot_wal_keep_size')"
        session.execute("ALTER SYSTEM SET max_slot_wal_keep_size = -1")
        session.execute("SELECT pg_reload_conf()")
        try:
            until(lambda: session.execute(keep).fetchone() == ("-1",))
            unlimited = cluster.look()
        finally:
            session.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
            session.execute("SELECT pg_reload_conf()")
            until(lambda: session.execute(keep).fetchone() == ("8GB",))
    assert "of WAL, and is lost 8.0 GB further on" in limited.sentence
    assert "of WAL, which nothing limits" in found(unlimited, "slot-unread").sentence


def test_one_that_holds_back_cleaning_is_named(cluster: Cluster) -> None:
    with cluster.connect() as session:
        session.execute("SELECT pg_create_logical_replication_slot('dead', 'pgoutput')")
        for _ in range(3):
            session.execute("SELECT pg_current_xact_id()")
        report = cluster.look()
        session.execute(DROP.encode())
    held = "the replication slot dead holds back cleaning by "
    assert held in found(report, "cleaning").sentence.lower()


__all__ = ["cluster", "one_a_version"]
