"""Physical backups on the controller: what db-status says of them, and which words go together."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from fabfile import backups
from fabfile.database.checks.judging import About
from fabfile.database.checks.sections import physical
from fabfile.database.findings import Finding, Level
from fabfile.hosts import environment
from fabfile.tasks import backups as restoring
from tests.unit.fabfile.test_usage import fab

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
GOOD = {"at": "2026-11-26T02:00:00Z", "ok": True, "detail": "all is well"}
OLD = {**GOOD, "at": "2026-11-20T02:00:00Z"}
FAILED = {**GOOD, "ok": False, "detail": "rows"}
LOOK = {"at": "2026-11-26T11:50:00Z", "ok": True, "gaps": [], "damaged": [], "verify": {}}
ALL: dict[str, Any] = {"physical": GOOD, "physical_test": GOOD, "physical_look": LOOK}


def lines(expected: bool = True, **facts: Any) -> dict[str, Finding]:
    """The worst finding of each check."""
    about = About("test", "shop", NOW, 140023, physical_expected=expected, facts={"clock": 0.0, **facts})
    found = [each for each in physical.backups(about) if isinstance(each, Finding)]
    return {each.check: each for each in sorted(found, key=lambda each: each.level.value)}


def look(**more: Any) -> dict[str, Any]:
    return {**ALL, "physical_look": {**LOOK, **more}}


def copy(**more: Any) -> dict[str, Any]:
    return look(copy={"wanted_by": "vault-1", **more})


def test_where_nobody_wants_them_nothing_is_said() -> None:
    assert lines(expected=False, **ALL) == {}


def test_fresh_backups_proven_and_whole_are_right() -> None:
    found = lines(**ALL)
    assert {name: each.level for name, each in found.items()} == dict.fromkeys(
        ("physical-backup", "physical-restore-test", "physical-look", "wal-continuity", "backup-integrity"),
        Level.OK,
    )


@pytest.mark.parametrize(
    ("facts", "check", "level", "said"),
    [
        ({**ALL, "physical": None}, "physical-backup", Level.WARN, "There has been no physical backup yet"),
        ({**ALL, "physical": OLD}, "physical-backup", Level.CRITICAL, "The last physical backup is"),
        ({**ALL, "physical_test": FAILED}, "physical-restore-test", Level.CRITICAL, "failed: rows"),
        ({**ALL, "physical_look": None}, "wal-continuity", Level.WARN, "Nobody has looked"),
        (look(at="2026-11-25T01:00:00Z"), "physical-look", Level.CRITICAL, "were looked for"),
        (look(ok=False, problem="no key"), "backup-integrity", Level.CRITICAL, "could not be read: no key"),
        (look(gaps=[{"said": "5 segments", "closed_by": ""}]), "wal-continuity", Level.CRITICAL, "5 segments"),
        (look(gaps=[{"said": "5 segments", "closed_by": "F"}]), "wal-continuity", Level.WARN, "5 segments"),
        (look(damaged=["20261126-010000F"]), "backup-integrity", Level.CRITICAL, "20261126-010000F"),
        (look(verify={"ok": False, "detail": "a.zst"}), "backup-integrity", Level.CRITICAL, "a.zst"),
        (copy(), "backup-copy", Level.WARN, "vault-1 has no copy of the backups yet."),
        (copy(at="2026-11-26T11:59:00Z", ok=False, problem="full."), "backup-copy", Level.WARN, "failed: full."),
        (copy(at="2026-11-26T05:00:00Z", ok=True), "backup-copy", Level.CRITICAL, "on vault-1 is 7 h"),
        (copy(at=["nonsense"], ok="yes"), "backup-copy", Level.WARN, "has no copy of the backups yet."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_page(
    facts: dict[str, Any], check: str, level: Level, said: str
) -> None:
    found = lines(**facts)[check]
    assert (found.level, said in found.sentence) == (level, True), found
    assert found.runbook.startswith("db-")
    assert found.command.startswith("fab ")


def test_a_copy_of_a_minute_ago_is_right() -> None:
    assert lines(**copy(at="2026-11-26T11:59:00Z", ok=True))["backup-copy"].level is Level.OK


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--time=yesterday"], "is not a moment with its zone"),
        (["--time=2026-11-26T21:00:00"], "is not a moment with its zone"),
        (["--xid=0"], "is not a transaction's number"),
        (["--name=a b"], "is not a restore point"),
        (["--latest", "--xid=7"], "One moment can be restored, not"),
        (["--latest", "--replace"], "are for dumps"),
        (["--latest", "--plan", "--test"], "--plan does nothing else"),
        (["--xid=7", "--test"], "The cluster is tested with --test --latest"),
        (["--remove=side", "--latest"], "--remove stands alone"),
        (["--plan"], "Say one of"),
        (["--table=orders", "--latest"], "is not a table with its schema"),
        (["--table=shop.orders"], "--table wants a moment"),
        (["--table=shop.orders", "--latest", "--plan"], "--table wants a moment"),
        (["--table=shop.orders", "--latest", "--in-place"], "--in-place wants one moment"),
        (["--in-place"], "--in-place wants one moment"),
        (["--in-place", "--latest", "--into=side"], "--in-place wants one moment"),
        (["--in-place", "--latest", "--test"], "--in-place wants one moment"),
        (["--in-place", "--latest"], "Type its name: --confirm DATABASE"),
    ],
)
def test_words_of_a_restore_that_do_not_go_together_are_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fab("db-restore", *words, "--env=lab", performed=True) == 2
    assert said in capsys.readouterr().err


def test_an_inventory_without_them_says_how_to_have_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert fab("db-restore", "--latest", "--env=lab", performed=True) == 2
    assert "has no physical backups" in capsys.readouterr().err
    assert fab("db-backup", "--type=diff", "--env=lab", performed=True) == 2
    assert "backups_physical in its inventory" in capsys.readouterr().err


def test_a_database_goes_back_in_place_only_while_nobody_serves_from_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    answer = {"ok": True, "message": "done", "result": {}}

    def ran(_remote: object, command: str) -> tuple[int, str, str]:
        asked.append(command)
        return (
            (0, "yes" if serves else "", "") if command.startswith("test -L") else (0, json.dumps(answer), "")
        )

    monkeypatch.setattr("fabfile.backups.asking._run", ran)
    words = ["db-restore", "--latest", "--in-place", "--confirm=shop", "--env=copied"]
    serves = True
    assert fab(*words, performed=True) == 2
    assert "kept-1 would go on writing" in capsys.readouterr().err
    assert len(asked) == 1
    serves = False
    backups.in_place(environment.load("copied"), ["--latest"], "shop")
    assert asked[-1].endswith("physical-backup --json --app=shop in-place --latest --database=shop")


def test_one_table_is_asked_of_a_moment_or_of_a_cluster_that_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def ran(_remote: object, command: str) -> tuple[int, str, str]:
        asked.append(command.partition("--app=shop ")[2])
        return 0, json.dumps({"ok": True, "message": "done", "result": {}}), ""

    monkeypatch.setattr("fabfile.backups.asking._run", ran)
    restoring._one_table(environment.load("copied"), ["--xid=7"], "side", "shop.orders", False)
    restoring._one_table(environment.load("copied"), [], "rescue", "shop.orders", False)
    assert asked == [
        "restore --xid=7 --into=side",
        "table --into=side --table=shop.orders",
        "table --into=rescue --table=shop.orders",
    ]


def test_a_restore_point_is_named_only_where_wal_is_kept() -> None:
    assert backups.restore_point(environment.load("lab"), "before", "a test") == ""
