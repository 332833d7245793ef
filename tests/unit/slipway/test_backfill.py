"""`slipway backfill`: begun in its own unit, one at a time, paused while it runs, in the journal."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from slipway.database import backfill
from slipway.turns import lock

from tests.unit.conftest import Slipway
from tests.unit.slipway import support
from tests.unit.slipway.support import OTHER, RELEASE, THIRD, Host
from tests.unit.slipway.test_lease import run_batch

pytestmark = pytest.mark.usefixtures("quick_systemd")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on is seen to do so without waiting for long."""
    monkeypatch.setattr(backfill, "BEGIN_SECONDS", 0.2)


@pytest.fixture
def live(host: Host) -> Path:
    """The directory of a release that is live."""
    directory = support.install_release(host, RELEASE)
    host.current.symlink_to(f"releases/{RELEASE}")
    return directory


def journaled(slipway: Slipway) -> list[tuple[str, str, str]]:
    entries = slipway("journal", "--step", "backfill").result["entries"]
    return [(each["phase"], each["details"]["do"], each["details"]["backfill"]) for each in entries]


def test_a_run_that_is_soon_done_says_its_row_and_is_in_the_journal(live: Path, slipway: Slipway) -> None:
    found = slipway("backfill", "run", "fill_totals").result
    assert (found["release"], found["running"], found["row"]["name"]) == (RELEASE, False, "fill_totals")
    assert journaled(slipway) == [("begin", "run", "fill_totals"), ("end", "run", "fill_totals")]
    assert slipway("status").result["unfinished"] == []


def test_a_controller_begins_one_as_it_does_everything(live: Path, host: Host, slipway: Slipway) -> None:
    code, answers = run_batch(host, [["backfill", "run", "fill_totals"], ["backfill", "progress"]])
    assert (code, [answer["result"]["name"] for answer in answers]) == (0, ["fill_totals"] * 2)


def test_a_long_run_goes_on_by_itself_and_is_looked_at(live: Path, slipway: Slipway) -> None:
    (live / "backfill").write_text("long")
    assert slipway("backfill", "run", "fill_totals").result["running"] is True
    found = slipway("backfill", "progress").result
    assert (found["name"], found["running"], found["progress"]["rows_done"]) == ("fill_totals", True, 700)


def test_a_second_run_is_refused_with_the_name_of_the_first(live: Path, host: Host, slipway: Slipway) -> None:
    (live / "backfill").write_text("long")
    slipway("backfill", "run", "fill_totals")
    answer = slipway("backfill", "run", "other")
    assert (answer.code, answer.error) == (2, "backfill-running")
    assert "fill_totals runs already" in answer.message
    assert "nothing was changed" in answer.message.lower()
    assert host.backfill_settings(RELEASE).read_text().split()[-1] == "fill_totals"


def test_after_a_deploy_the_run_of_the_release_before_still_counts_and_is_paused_there(
    live: Path, host: Host, slipway: Slipway
) -> None:
    (live / "backfill").write_text("long")
    slipway("backfill", "run", "fill_totals")
    (support.install_release(host, OTHER) / "backfill").write_text("undeclared")
    host.current.unlink()
    host.current.symlink_to(f"releases/{OTHER}")
    assert slipway("backfill", "resume", "more").error == "backfill-running"
    (live / "backfill").write_text("ready")
    assert slipway("backfill", "pause", "fill_totals").result["row"]["paused"] is True
    support.install_release(host, THIRD)
    # What runs is not taken from under its feet.
    slipway("prune", "--keep", "1")
    assert live.exists()


def test_a_pause_needs_no_lock_that_a_migration_holds(live: Path, host: Host, slipway: Slipway) -> None:
    with lock.held(host.lock, "slipway migrate", "ada"):
        assert slipway("backfill", "pause", "fill_totals").result["row"]["paused"] is True
    assert journaled(slipway)[-1] == ("end", "pause", "fill_totals")


def test_what_the_release_refuses_is_said_and_recorded(live: Path, slipway: Slipway) -> None:
    (live / "backfill").write_text("undeclared")
    for do in ("run", "pause"):
        answer = slipway("backfill", do, "none")
        assert (answer.code, answer.error) == (3, "backfill-failed")
        assert "There is no backfill 'none' in this release." in answer.message
        assert slipway("journal", "--step", "backfill").result["entries"][-1]["result"] == "failed"
    found = slipway("backfill", "progress").result
    assert (found["running"], found["sentence"]) == (False, "There is no backfill 'none' in this release.")


def test_the_status_is_what_the_live_release_says_and_no_change(live: Path, slipway: Slipway) -> None:
    answer = slipway("backfill", "status")
    assert (answer.result["backfills"], answer.json["changed"]) == ([{"name": "a", "state": "done"}], False)
    assert slipway("journal", "--step", "backfill").result["entries"] == []


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "A", "a\nb", "$(id)", "é", "a" * 64])
def test_a_name_that_is_none_is_refused_before_anything_is_done(
    live: Path, host: Host, slipway: Slipway, name: str
) -> None:
    for do in ("run", "resume", "pause"):
        answer = slipway("backfill", do, *(["--", name] if name else []))
        assert (answer.code, answer.error) == (2, "backfill-name")
    assert list(host.runtime.glob("backfill*")) == []
    assert slipway("journal", "--step", "backfill").result["entries"] == []


def test_without_a_live_release_nothing_is_begun(host: Host, slipway: Slipway) -> None:
    assert slipway("backfill", "run", "fill_totals").error == "not-live"
    assert slipway("backfill", "progress").result == {"running": False}


@pytest.mark.parametrize("after", [1, 2])
def test_a_kill_of_the_helper_leaves_nothing_that_the_next_one_minds(
    live: Path, host: Host, slipway: Slipway, after: int
) -> None:
    killed = support.run(host.root, "backfill", "run", "fill_totals", kill_after=after)
    assert killed.returncode == -signal.SIGKILL
    assert slipway("status").result["unfinished"] == []
    assert slipway("backfill", "run", "fill_totals").code == 0
    assert slipway("journal", "--verify").code == 0


def test_the_service_that_is_killed_is_begun_again(live: Path, host: Host, slipway: Slipway) -> None:
    (live / "backfill").write_text("long")
    slipway("backfill", "run", "fill_totals")
    support.kill(host, f"shop-backfill@{RELEASE}.service")
    (live / "backfill").write_text("ready")
    assert slipway("backfill", "run", "fill_totals").result["running"] is False
