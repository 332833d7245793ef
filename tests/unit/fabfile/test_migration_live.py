"""`fab migrate` while it goes: what is said of a migrator's lines, and what stands when the connection is cut."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fabric.testing.base import Command, MockRemote

from fabfile.errors import UnfinishedError
from fabfile.hosts.connection import Remote
from fabfile.hosts.environment import Environment
from fabfile.hosts.fleet import AnswerError, Fleet
from fabfile.migration import applying, events
from fabfile.migration.choosing import Wish
from fabfile.migration.following import following
from fabfile.report import LiveReport, Report
from tests.unit.fabfile.test_hosts import (
    NEW,
    answers,
    bad,
    environment,
    expect,
    good,
    listed,
    mock,
    row,
    status,
)

__all__ = ["environment", "mock"]


@pytest.fixture(autouse=True)
def enough_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each session that is tried would take an answer of the mock's; test_fab_sessions.py tries them."""
    monkeypatch.setattr(Remote, "require_sessions", lambda self: None)


SOMEBODY = {"pid": 4462, "role": "shop", "application": "stock", "state": "idle in transaction", "seconds": 151.2,
            "query": "UPDATE shop.products SET name = 'hunter'"}  # fmt: skip
CARRIED = [
    {"id": "1", "kind": "expand", "title": ""},
    {"id": "2", "kind": "expand", "title": "Add [bold]notes"},
]
UNIT = f"shop-migrate@{NEW}.service"


def line(event: str, **more: Any) -> str:
    return json.dumps({"event": event, "logger": "slipway_migrator", **more})


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (line("revision_begun", revision="2"), "2 begins: Add notes"),
        (
            line("revision_applied", revision="2", seconds=0.0154, strongest_lock="AccessExclusiveLock", locked=["a"]),
            "2 applied in 15.4 ms, under ACCESS EXCLUSIVE on a",
        ),
        (line("revision_applied", revision="2", seconds=75.2, strongest_lock=None, locked=[]), "2 applied in 1 min"),
        (
            line("migration_blocked", blocked_by=[SOMEBODY]),
            "waits for a lock; in the way is pid 4462, role shop, stock, idle in transaction for 2 min 31 s: "
            "UPDATE shop.products SET name = ?",
        ),
        (line("migration_blocked", blocked_by=[]), "a session that has ended meanwhile"),
        (
            line("migration_waits_for_another", waited_seconds=20.1, held_by=[{"pid": 7, "role": "m", "seconds": 61}]),
            "waits for another migration, 20 s so far: pid 7, role m, no application name, active for 1 min 1 s",
        ),
        (
            line("migration_waits_for_lock", attempt=3, waited_seconds=12.9, pause_seconds=5.6),
            "try 3 let go after 2 s without the lock, so that nobody waits behind it; try 4 in 5.6 s",
        ),
        (
            line("index_build", index="ix_a", phase="building index: scanning table", blocks_done=1, blocks_total=3,
                 lockers_total=0, lockers_done=0),
            "builds ix_a: building index: scanning table, 33 % read",
        ),
        (
            line("index_build", index="-", phase="waiting for writers before build", blocks_done=0, blocks_total=0,
                 lockers_total=2, lockers_done=1),
            "builds an index: waiting for writers before build, 1 of 2 older transactions have ended",
        ),
        (line("index_build", index="ix_a", phase="initializing"), "builds ix_a: initializing"),
        (
            line("index_built", index="ix_a", table="a", seconds=75.2, bytes=8 * 1024**2),
            "index ix_a of a built in 1 min 15 s, 8.0 MB",
        ),
        (line("index_is_there", index="ix_a", table="a"), "index ix_a of a is there already, as it should be"),
        (
            line("unfinished_index_removed", index="ix_a", table="a"),
            "removed what a build that died had left of index ix_a of a",
        ),
        (
            line("unfinished_index_stays", index="ix_a", until="the next run", reason="55P03"),
            "unfinished index ix_a could not be removed (SQLSTATE 55P03): the next run does it",
        ),
        (
            line("migration_watch_ended", reason="connection is closed"),
            "goes on, but who is in its way can no longer be said: connection is closed",
        ),
        (
            line("revision_without_kind", revisions=["2"], counts_as="contract"),
            "2: says no kind, and so counts as contract",
        ),
        (line("migration_done", attempts=4, seconds=16.2, held_back=[]), "done in 16 s, 4 tries"),
    ],
)  # fmt: skip
def test_an_event_is_a_sentence(said: str, shown: str) -> None:
    assert shown in events.sentence(said, {"2": "Add notes"})
    assert "hunter" not in events.sentence(said)


def test_whatever_the_migrator_says_is_told_as_a_sentence() -> None:
    package = Path(__file__).parents[3] / "migrator/slipway_migrator"
    modules = [path for path in package.glob("*.py") if path.name != "backfill_commands.py"]
    logged = {name for path in modules for name in re.findall(r'\bsay\(\s*"(\w+)"', path.read_text())}
    assert {"revision_begun", "revision_without_kind", "index_built"} <= logged
    assert logged - events.EVENTS.keys() == set()


@pytest.mark.parametrize(
    "said",
    [
        "no JSON at all",
        "{",
        "7",
        "[" * 100_000,
        line("of_a_later_release", rows=7),
        line("revision_applied", revision="2", seconds="soon"),
        line("revision_applied"),
        line("migration_blocked", blocked_by=7),
        line("migration_blocked", blocked_by=["x"]),
        line("migration_waits_for_lock", attempt={}, pause_seconds=1),
    ],
)
def test_a_line_that_is_not_known_is_shown_as_it_is(said: str) -> None:
    assert events.sentence(said)[:50] == said[:50]


def test_no_line_acts_on_the_terminal_and_none_is_endless() -> None:
    hostile = "\x1b[2J\x1b]0;owned\x07\u202eturned\rover" + "x" * 10_000
    for said in (
        hostile,
        line("unknown", text=hostile),
        line("migration_blocked", blocked_by=[{"pid": hostile}]),
    ):
        shown = events.sentence(said)
        assert shown.isprintable()
        assert len(shown) <= events.LONGEST


@pytest.mark.parametrize("said", [line("x", logger="alembic.runtime.migration"), '{"from": "1", "to": "2"}'])
def test_what_another_line_says_better_is_left_out(said: str) -> None:
    assert events.sentence(said) == ""


def journal(*said: object) -> Command:
    """What `journalctl --follow` sends: entries of the migrator, and of systemd about its unit."""
    entries = [each if isinstance(each, dict) else {"MESSAGE": each} for each in said]
    return Command(out=b"".join(json.dumps(each).encode() + b"\n" for each in entries) + b"-- torn {")


def test_the_lines_of_a_host_are_told_while_it_works(mock: MockRemote, environment: Environment) -> None:
    ended = {"UNIT": UNIT, "MESSAGE": "Finished shop's schema.", "JOB_RESULT": "done"}
    expect(
        mock,
        journal(line("revision_begun", revision="2"), list(b"\xff bytes"), ended),
        answers(good("status")),
    )
    told: list[str] = []
    with Fleet(environment) as fleet, following(fleet.first, "shop", NEW, told.append, {"2": "Add notes"}):
        fleet.first.perform(["status"])
    assert told == ["2 begins: Add notes", "\N{REPLACEMENT CHARACTER} bytes"]


def began(second: int = 1) -> str:
    return f"2026-11-23T03:00:{second:02}.000000Z"


def reading(**more: Any) -> list[dict[str, Any]]:
    return [status(NEW, **more), listed(row(NEW, state="live", schema_head="2", schema_revisions=CARRIED))]


def leased(*more: dict[str, Any]) -> Command:
    return answers(good("lease acquire", fence=3, taken_over=None), *more)


def test_a_cut_connection_says_that_the_migration_goes_on_and_what_to_type(
    mock: MockRemote, environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = Command(out=b"", exit=-1)
    expect(mock, leased(*reading()), journal(line("revision_begun", revision="2")), answers(good("record")), cut,
           answers(good("record")), answers(good("lease release")))  # fmt: skip
    with pytest.raises(UnfinishedError) as unfinished:
        applying.migrate(environment, Report(), Wish(backup=False))
    said = str(unfinished.value)
    for part in ("app-1 was lost over SSH", "goes on in its unit", "fab migrate --env lab"):
        assert part in said
    assert "Nothing was changed" not in said
    assert "2 begins: Add [bold]notes (expand)" in capsys.readouterr().out


def test_the_next_migration_watches_the_one_that_was_left_and_says_how_it_ended(
    mock: MockRemote, environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    left = {"release": NEW, "began": began(), "by": "ada", "running": True}
    expect(
        mock,
        leased(*reading(migration=left)),
        journal(line("revision_applied", revision="2", seconds=1, strongest_lock=None)),
        answers(good("migrate", **{"from": "1", "to": "2"})),
        answers(status(NEW, live={"release": NEW, "schema_applied": "2"}), reading()[1]),
        answers(good("lease release")),
    )
    done = applying.migrate(environment, Report(), Wish(backup=False))
    assert (done.origin, done.target) == ("2", "2")
    told = capsys.readouterr().out
    for part in (
        "begun by ada at 2026-11-23 03:00:01 UTC, still runs",
        "2 applied in 1.0 s",
        "it ended well, on 2",
    ):
        assert part in told


def test_one_that_failed_unseen_is_said_with_its_sentence_and_migrating_goes_on(
    mock: MockRemote, environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    left = {"release": NEW, "began": began(), "by": "ada", "running": False}
    failed = bad("migrate", "migration-failed", 3, "The migrations failed. division by zero\nmore")
    expect(
        mock,
        leased(*reading(migration=left)),
        journal(),
        answers(failed),
        answers(*reading()),
        journal(),
        answers(good("record")),
        answers(good("migrate", **{"from": "1", "to": "2"})),
        answers(good("record")),
        answers(good("lease release")),
    )
    assert applying.migrate(environment, Report(), Wish(backup=False)).target == "2"
    told = capsys.readouterr().out
    assert "has ended, and nobody saw how" in told
    assert "app-1: The migrations failed. division by zero" in told


def test_a_migration_that_fails_is_not_said_to_go_on(mock: MockRemote, environment: Environment) -> None:
    failed = bad("migrate", "migration-failed", 3, "The migrations failed. division by zero")
    expect(mock, leased(*reading()), journal(), answers(good("record")), answers(failed), answers(good("record")),
           answers(good("lease release")))  # fmt: skip
    with pytest.raises(AnswerError, match="division by zero"):
        applying.migrate(environment, Report(), Wish(backup=False))


def test_on_a_terminal_every_line_stays_and_none_is_markup(capsys: pytest.CaptureFixture[str]) -> None:
    with LiveReport(["app-1"]) as report:
        report.step("migrate", "2 Add [bold]notes")
        report.told("app-1", "waits for [red]a lock")
        report.told("app-1", "applied")
    shown = capsys.readouterr().out
    for part in ("2 Add [bold]notes", "app-1: waits for [red]a lock", "app-1: applied"):
        assert part in shown
