"""On a large catalogue in a bad hour every fault is named; the time it takes is `make bench BENCH=database`."""

from __future__ import annotations

import os

import pytest

from fabfile.database.findings import Level
from tests.database import catalogue_ground
from tests.database.status_ground import found, wrong

LIMIT = 60_000


@pytest.mark.catalogue
@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a disk of WAL's own")
def test_every_fault_of_a_large_catalogue_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # A loaded machine is no slow catalogue.
    monkeypatch.setattr("fabfile.database.look.read.__defaults__", ((), LIMIT))
    with catalogue_ground.large() as cluster:
        seen = catalogue_ground.facts(cluster)
        report = catalogue_ground.look(cluster, seen)
    assert {"blocked", "invalid-indexes", "autovacuum", "sequences", "disk"} <= wrong(report).keys()
    assert [each.check for each in report.findings if each.level is Level.UNKNOWN] == ["sequences"]
    assert f"{catalogue_ground.WAITERS} sessions wait for a lock" in found(report, "blocked").sentence
    assert "the root of it" in found(report, "blocked").sentence
    assert found(report, "invalid-indexes").subjects == ("shop.twice_id",)
    assert found(report, "autovacuum").subjects == ("shop.t4711",)
    assert "2 sequences may not be read" in found(report, "sequences").sentence
    full = found(report, "disk")
    assert full.level is Level.CRITICAL
    assert "WAL (" in full.sentence
    assert found(report, "wal-room").level is Level.WARN
    assert any("cdc" in str(row) for part in report.sections for table in part.tables for row in table.rows)
