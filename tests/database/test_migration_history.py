"""`fab migrate-history`: what servers of 14 to 17 have as applied, with what the hosts recorded of each."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from fabfile.database.toolbox import screen
from fabfile.migration import history
from fabfile.migration.records import runs
from tests.database.toolbox_ground import Ground, ground, server

__all__ = ["ground", "server"]
FIRST, SECOND = "20261120T100000Z-aaaaaa1", "20261121T100000Z-bbbbbb2"


def record(phase: str, release: str, second: int, **more: Any) -> dict[str, Any]:
    return {
        "step": "migrate",
        "phase": phase,
        "release": release,
        "time": f"2026-11-23T03:00:{second:02}.000000Z",
        "who": "deploy",
        "fence": 7,
        **more,
    }


def details(second: int, **more: Any) -> dict[str, Any]:
    return {
        "began": f"2026-11-23T03:00:{second:02}.000000Z",
        "by": "ada",
        "ticket": "OPS-7",
        "seen": True,
        **more,
    }


REPORT = {"pid": 99, "role": "shop", "application": "nightly \x1b[2Jreport", "state": "active", "seconds": 93.0,
          "query": "SELECT 'hunter'"}  # fmt: skip
APPLIED = {
    "revision": "aaaaaaaaaaa2",
    "seconds": 0.4,
    "tries": 3,
    "lock": "AccessExclusiveLock",
    "on": ["orders"],
}
RECORDS = [
    record("note", SECOND, 1, step="migrate.begin", details={"backup": "Backup 1.dump: 10 rows."}),
    record("begin", SECOND, 1, details=details(1, seen=False)),
    record("end", SECOND, 9, result="ok", duration_ms=8100,
           details=details(1, **{"from": "aaaaaaaaaaa1", "to": "aaaaaaaaaaa2"}, tries=3, revisions=[APPLIED],
                           blocked_by=[REPORT])),
    # Nothing to apply: it is in the audit, and no part of the schema's history.
    record("begin", SECOND, 20, details=details(20, seen=False)),
    record("end", SECOND, 21, result="ok", details=details(20, **{"from": "2", "to": "2"})),
    record("begin", SECOND, 30, details=details(30, seen=False)),
    record("end", SECOND, 31, result="failed", duration_ms=900, error="The migrations failed.",
           details=details(30, sentence="division by zero", revisions=[
               {"revision": "aaaaaaaaaaa3", "tries": 1, "failed": True}])),
    # Whoever waited was killed; the one after said how it ended.
    record("begin", SECOND, 40, details=details(40, seen=False)),
    record("begin", SECOND, 50, details=details(40, seen=False, watched=True)),
    record("end", SECOND, 55, result="failed", details=details(40, watched=True, sentence="gave up", revisions=[])),
]  # fmt: skip


def with_rows(ground: Ground) -> None:
    owner = ground.connect("postgres")
    owner.execute(
        """
        CREATE TABLE IF NOT EXISTS shop.schema_changes (revision text, down_revision text, kind text, release text,
            applied_at timestamptz DEFAULT clock_timestamp());
        GRANT USAGE ON SCHEMA shop TO slipway_ops; GRANT SELECT ON shop.schema_changes TO slipway_ops;
        TRUNCATE shop.schema_changes;
        """
    )
    for revision, kind, release, at in (
        ("aaaaaaaaaaa1", "expand", FIRST, "2026-11-20T10:00:00Z"),
        ("aaaaaaaaaaa2", "contract", SECOND, "2026-11-23T03:00:08Z"),
        ("aaaaaaaaaaa9", "expand", "\x1b[2Jelsewhere", "2026-11-23T03:00:09Z"),
    ):
        owner.execute(
            "INSERT INTO shop.schema_changes (revision, kind, release, applied_at) VALUES (%s, %s, %s, %s)",
            [revision, kind, release, at],
        )
    owner.commit()


def found(ground: Ground, limit: int = 50) -> history.History:
    with_rows(ground)
    rows = history.applied(ground.connect("slipway_ops"), "shop", limit)
    return history.History("lab", history.merged(rows, runs({"app-1": RECORDS})))


def test_what_is_applied_has_its_kind_time_lock_tries_person_and_backup(ground: Ground) -> None:
    entries = {entry.revision: entry for entry in found(ground).entries}
    entry = entries["aaaaaaaaaaa2"]
    assert (entry.kind, entry.result, entry.seconds, entry.tries) == ("contract", "applied", 0.4, 3)
    assert (entry.lock, entry.release) == ("ACCESS EXCLUSIVE on orders", SECOND)
    assert entry.run is not None
    assert (entry.run.by, entry.run.ticket, entry.run.seconds) == ("ada", "OPS-7", 8.1)
    assert entry.run.backup == "Backup 1.dump: 10 rows."
    # One of before these records, or migrated from elsewhere, has its row and nothing else.
    assert (entries["aaaaaaaaaaa1"].run, entries["aaaaaaaaaaa9"].run) == (None, None)


def test_a_try_that_failed_is_there_once_with_its_sentence_and_one_that_did_nothing_is_not(
    ground: Ground,
) -> None:
    failed = [entry for entry in found(ground).entries if entry.result != "applied"]
    assert [(entry.revision, entry.result) for entry in failed] == [
        ("", "failed"),
        ("aaaaaaaaaaa3", "failed"),
    ]
    assert [entry.run.sentence for entry in failed if entry.run] == ["gave up", "division by zero"]


@pytest.mark.every_version("the query is sent to servers of every version")
def test_the_newest_comes_first_and_no_more_than_are_asked_for(ground: Ground) -> None:
    moments = [entry.at for entry in found(ground).entries]
    assert moments == sorted(moments, reverse=True)
    assert len(history.applied(ground.connect("slipway_ops"), "shop", 1)) == 1


def test_it_is_printed_as_tables_and_as_json_without_what_acts_on_a_terminal(ground: Ground) -> None:
    said = found(ground)
    out = Console(file=io.StringIO(), width=240)
    out.print(screen.tables_of(history.as_reading(said), out))
    shown = out.file.getvalue()  # type: ignore[attr-defined]
    for part in (
        "aaaaaaaaaaa2",
        "contract",
        "ACCESS EXCLUSIVE on orders",
        "OPS-7",
        "pid 99, role shop, nightly report, active for 1 min 33 s: SELECT ?",
        "Backup 1.dump",
        "division by zero",
    ):
        assert part in shown, shown
    assert "\x1b[2J" not in shown + said.as_json()
    assert json.loads(said.as_json())["entries"][-1]["revision"] == "aaaaaaaaaaa1"
    assert "hunter" not in shown + said.as_json()


def test_one_that_runs_or_was_left_is_said_to_be_so() -> None:
    (run,) = runs({"app-1": RECORDS[1:2]})
    assert run.result == "not seen to its end"


def test_records_of_an_older_slipway_are_read_too() -> None:
    old = [record("begin", FIRST, 1, details={"contract": False}),
           record("end", FIRST, 5, result="ok", duration_ms=3900, details={"from": None, "to": "1"})]  # fmt: skip
    (run,) = runs({"app-1": old})
    assert (run.result, run.seconds, run.by) == ("applied", 3.9, "deploy")
