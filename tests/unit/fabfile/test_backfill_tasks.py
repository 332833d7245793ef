"""`fab backfill-…` against a host whose answers are given: what is asked, what is said, what a cut leaves."""

from __future__ import annotations

import io
from typing import Any

import pytest
from fabric.testing.base import Command, MockRemote
from invoke import Context, Exit
from rich.console import Console

from fabfile.database.toolbox import screen
from fabfile.errors import FabError, UnfinishedError
from fabfile.hosts.environment import Environment
from fabfile.hosts.fleet import AnswerError
from fabfile.migration import backfill
from fabfile.report import Report
from fabfile.tasks import backfills, running
from tests.unit.fabfile.test_hosts import NEW, answers, bad, environment, expect, good, mock

__all__ = ["environment", "mock"]
ROW = {"name": "fill_totals", "rows_done": 12_500, "batches_done": 31, "paused": False}
MOMENTS = {"started_at": "2026-11-23 08:00:00.5+00:00", "updated_at": "2026-11-23 08:10:00+00:00"}


def standing(name: str, state: str, **more: Any) -> dict[str, Any]:
    empty = {"table": "orders", "rows": None, "percent": None, "rows_per_second": None, "declared": True}
    return {"name": name, "state": state, **empty, **more}


def said(*rows: dict[str, Any], environment: Environment) -> str:
    reading = backfill.as_reading(environment, {"release": NEW, "backfills": list(rows)})
    out = Console(file=io.StringIO(), width=160)
    out.print(screen.tables_of(reading, out))
    return str(out.file.getvalue())  # type: ignore[attr-defined]


def begun(**more: Any) -> Command:
    return answers(good("backfill", release=NEW, name="fill_totals", **more))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "LOOK_SECONDS", 0.0)


def test_the_table_says_how_far_each_is_and_what_to_type_for_those_that_stand(
    environment: Environment,
) -> None:
    shown = said(
        standing("fill_totals", "running", rows_done=12_500, rows=50_000, percent=25, rows_per_second=840, **MOMENTS),
        standing("fill_names", "paused", rows_done=0, **MOMENTS),
        standing("split_names", "not begun"),
        standing("old_one", "stopped", declared=False, table=None, rows_done=3, **MOMENTS),
        environment=environment,
    )  # fmt: skip
    for word in ("fill_totals", "running", "25", "840", "stopped, of another release"):
        assert word in shown
    assert "fab backfill-resume fill_names --env lab" in shown
    assert "fab backfill-run split_names --env lab" in shown
    assert "fab backfill-run old_one" not in shown
    assert "fab backfill-run fill_totals" not in shown


def test_a_release_without_backfills_says_so(environment: Environment) -> None:
    assert f"{NEW} declares no backfill, and none was ever begun." in said(environment=environment)


def test_a_name_from_the_database_moves_no_cursor(environment: Environment) -> None:
    row = standing("x\x1b[2J", "stopped", declared=False, rows_done=1, **MOMENTS)
    assert "\x1b" not in said(row, environment=environment)


def test_a_run_is_told_while_it_goes_on_and_ends_with_what_was_done(
    mock: MockRemote, environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    now = {"rows_done": 700, "rows_per_second": 70, "seconds_left": 65}
    expect(
        mock,
        begun(running=True),
        begun(running=True, progress=now),
        begun(running=False, progress=now, row=ROW),
    )
    ended = backfill.run(environment, Report(), "fill_totals")
    assert "700 rows, 70 a second, 1 min 5 s left" in capsys.readouterr().out
    assert ended == "fill_totals is done: 12 500 rows in 31 batches."


def test_a_run_that_is_paused_says_how_to_go_on(mock: MockRemote, environment: Environment) -> None:
    expect(mock, begun(running=True), begun(running=False, row={**ROW, "paused": True}))
    ended = backfill.run(environment, Report(), "fill_totals")
    assert "is paused after 12 500 rows" in ended
    assert "fab backfill-resume fill_totals --env lab" in ended


def test_a_run_that_ends_badly_has_its_sentence_and_what_to_type(
    mock: MockRemote, environment: Environment
) -> None:
    expect(mock, begun(running=True), begun(running=False, sentence="The backfill gave up.\x1b[2J"))
    with pytest.raises(FabError, match="The backfill gave up") as failed:
        backfill.run(environment, Report(), "fill_totals")
    assert failed.value.exit_code == 3
    assert "\x1b" not in str(failed.value)
    assert "fab backfill-run fill_totals --env lab" in str(failed.value)


def test_one_that_was_killed_without_a_word_is_said_to_have_been(
    mock: MockRemote, environment: Environment
) -> None:
    expect(mock, begun(running=True), begun(running=False))
    with pytest.raises(FabError, match="its unit was stopped or killed"):
        backfill.run(environment, Report(), "fill_totals")


def test_a_cut_connection_leaves_it_running_and_says_so(mock: MockRemote, environment: Environment) -> None:
    expect(mock, begun(running=True), Command(out=b"", exit=-1))
    with pytest.raises(UnfinishedError) as cut:
        backfill.run(environment, Report(), "fill_totals")
    for sentence in ("needs nobody who watches", "fab backfill-status", "fab backfill-pause fill_totals"):
        assert sentence in str(cut.value)


def test_it_can_be_left_to_itself(mock: MockRemote, environment: Environment) -> None:
    expect(mock, begun(running=True))
    assert "fill_totals runs on app-1" in backfill.run(environment, Report(), "fill_totals", watch=False)


def test_a_resume_asks_for_one(mock: MockRemote, environment: Environment) -> None:
    wanted = 'printf %s \'[["backfill", "resume", "fill_totals"]]\' | sudo -n /usr/local/sbin/slipway run'
    given = begun(running=False, row=ROW)
    expect(mock, Command(cmd=wanted, out=given.out))
    assert "is done" in backfill.run(environment, Report(), "fill_totals", resume=True)


def test_what_the_host_refuses_is_said_with_its_code(mock: MockRemote, environment: Environment) -> None:
    expect(mock, answers(bad("backfill", "backfill-running", 2, "other runs already.")))
    with pytest.raises(AnswerError, match="app-1: other runs already") as refused:
        backfill.run(environment, Report(), "fill_totals")
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("name", ["", "A", "a b", "../x", "-x", "$(id)", "a\nb", "é", "a" * 64])
def test_a_hostile_name_is_refused_before_any_host_is_asked(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: object) -> None:
        raise AssertionError("the environment was asked for")

    monkeypatch.setattr(running, "chosen", asked)
    for task in (backfills.backfill_run, backfills.backfill_resume, backfills.backfill_pause):
        with pytest.raises(Exit) as ended:
            task.body(Context(), name)
        assert ended.value.code == 2
        assert "is not the name of a backfill" in str(ended.value.message)
        assert "Nothing was changed" in str(ended.value.message)
