"""The steps of a rollout one by one: what each changes, that it changes nothing twice, and what it refuses."""

from __future__ import annotations

import json
import os
import time

import pytest
from slipway.traffic import gate

from tests.unit.conftest import Slipway
from tests.unit.slipway import support
from tests.unit.slipway.slipway_fakes import alive
from tests.unit.slipway.support import OTHER, RELEASE, THIRD, Host
from tests.unit.slipway.test_activate import enabled, live, running
from tests.unit.slipway.test_recovery import wait_for

pytestmark = pytest.mark.usefixtures("quick_systemd")

FOURTH = "20261125T080000Z-99cc003"


@pytest.fixture
def two(host: Host, slipway: Slipway) -> Host:
    """RELEASE is live and settled; OTHER is staged."""
    for release in (RELEASE, OTHER):
        support.install_release(host, release)
    slipway("activate", RELEASE)
    return host


def deploy(slipway: Slipway, release: str, *settle: str) -> None:
    for words in (["start"], ["gate"], ["switch"], ["verify"], ["settle", *settle]):
        assert slipway(words[0], release, *words[1:]).code == 0, words


def timers(host: Host) -> set[str]:
    """The releases that a timer waits to stop."""
    pids = {name: state.get("pid") for name, state in support.unit_states(host.root).items()}
    waiting = [name for name, pid in pids.items() if pid and alive(pid) and name.startswith("shop-warm-")]
    return {name.removeprefix("shop-warm-").removesuffix(".timer") for name in waiting}


def state(slipway: Slipway, release: str) -> str:
    rows = slipway("list").result["releases"]
    return str(next(row["state"] for row in rows if row["release"] == release))


def test_a_whole_rollout_step_by_step_and_each_step_twice(two: Host, slipway: Slipway) -> None:
    started = slipway("start", OTHER)
    assert (started.json["changed"], started.result["unit"]["active"]) == (True, "active")
    assert live(two) == f"releases/{RELEASE}"
    passed = slipway("gate", OTHER)
    assert (passed.json["changed"], passed.result["probe"]["release"]) == (False, OTHER)
    switched = slipway("switch", OTHER, "--expect", RELEASE)
    assert (switched.json["changed"], switched.result["previous"]) == (True, RELEASE)
    assert switched.result["switched_at"].startswith("20")
    assert switched.result["took_us"] > 0
    assert slipway("verify", OTHER, "--count", "7").result == {"release": OTHER, "answers": 7}
    settled = slipway("settle", OTHER).result
    assert (settled["warm"], settled["stopped"]) == (RELEASE, [])
    assert running(two) == {two.unit(RELEASE), two.unit(OTHER)}
    assert enabled(two) == {two.unit(OTHER)}
    assert timers(two) == {RELEASE}
    assert (state(slipway, OTHER), state(slipway, RELEASE)) == ("live", "warm")
    before = support.snapshot(two.root)

    for words in (["start"], ["switch"], ["settle"], ["switch", "--expect", "none"]):
        again = slipway(words[0], OTHER, *words[1:])
        assert (again.code, again.json["changed"]) == (0, False), words
    assert slipway("settle", OTHER).result["warm_until"] == settled["warm_until"]
    assert support.snapshot(two.root) == before
    assert slipway("recover").json["changed"] is False


def test_a_rollback_to_the_warm_release_is_one_rename(two: Host, slipway: Slipway) -> None:
    deploy(slipway, OTHER)

    deploy(slipway, RELEASE)

    assert live(two) == f"releases/{RELEASE}"
    assert timers(two) == {OTHER}
    assert (state(slipway, RELEASE), state(slipway, OTHER)) == ("live", "warm")


def test_the_timer_stops_the_warm_release_when_its_time_is_over(two: Host, slipway: Slipway) -> None:
    deploy(slipway, OTHER, "--warm", "1")

    wait_for(lambda: running(two) == {two.unit(OTHER)})

    wait_for(lambda: slipway("status").result["warm"] is None)
    assert state(slipway, RELEASE) == "verified"
    assert slipway("settle", OTHER).json["changed"] is False
    assert slipway("journal", "--lines", "1").result["entries"][0]["step"] == "stop"


def test_the_timer_does_not_overtake_a_rollback_that_has_begun(two: Host, slipway: Slipway) -> None:
    deploy(slipway, OTHER, "--warm", "3")

    assert slipway("start", RELEASE).json["changed"] is False

    time.sleep(3.5)
    assert two.unit(RELEASE) in running(two)
    assert timers(two) == {RELEASE}


def test_only_the_release_before_stays_warm(two: Host, slipway: Slipway) -> None:
    support.install_release(two, THIRD)
    deploy(slipway, OTHER)

    deploy(slipway, THIRD)

    assert running(two) == {two.unit(OTHER), two.unit(THIRD)}
    assert timers(two) == {OTHER}


def test_settling_without_warmth_stops_the_release_before(two: Host, slipway: Slipway) -> None:
    deploy(slipway, OTHER)

    assert slipway("settle", OTHER, "--warm", "0").result["stopped"] == [RELEASE]

    assert running(two) == {two.unit(OTHER)}
    assert timers(two) == set()


def test_a_bad_release_does_not_stay_warm(two: Host, slipway: Slipway) -> None:
    deploy(slipway, OTHER)
    slipway("mark-bad", OTHER, "--reason", "fails one of five")

    deploy(slipway, RELEASE)

    assert running(two) == {two.unit(RELEASE)}
    assert state(slipway, OTHER) == "bad"


def test_a_release_that_does_not_run_does_not_pass_the_gate(two: Host, slipway: Slipway) -> None:
    answer = slipway("gate", OTHER)

    assert (answer.code, answer.error) == (2, "not-running")
    assert state(slipway, OTHER) == "staged"


@pytest.mark.parametrize(("status", "blamed"), [(1, True), (78, False), (243, False)])
def test_a_release_that_ends_while_it_is_started_is_marked_bad_unless_the_host_may_be_the_reason(
    two: Host, slipway: Slipway, status: int, blamed: bool
) -> None:
    (two.release(OTHER) / "behaviour").write_text(f"ends {status}")

    answer = slipway("start", OTHER)

    assert (answer.code, answer.error) == (3, "start-failed")
    assert ("it is marked bad" in answer.message) == blamed
    (row,) = [row for row in slipway("list").result["releases"] if row["release"] == OTHER]
    assert (row["state"] == "bad") == blamed
    assert live(two) == f"releases/{RELEASE}"


@pytest.mark.parametrize("behaviour", ["never", "crash", "wrong"])
def test_a_release_that_fails_its_gate_is_stopped_and_marked_bad(
    two: Host, slipway: Slipway, behaviour: str
) -> None:
    (two.release(OTHER) / "behaviour").write_text(behaviour)
    slipway("start", OTHER)

    answer = slipway("gate", OTHER, "--timeout", "1")

    assert (answer.code, answer.error) == (3, "gate-failed")
    details = answer.json["error"]["details"]
    assert details["marked_bad"] is True
    assert details["reason"]
    assert f"starting {OTHER}" in details["journal"]
    assert running(two) == enabled(two) == {two.unit(RELEASE)}
    row = next(row for row in slipway("list").result["releases"] if row["release"] == OTHER)
    assert (row["state"], row["bad_reason"]) == ("bad", details["reason"])
    assert gate.probe(two.current / "http.sock").ready(RELEASE)


def test_when_the_live_release_is_not_ready_either_the_new_one_is_not_to_blame(
    two: Host, slipway: Slipway
) -> None:
    (two.release(OTHER) / "behaviour").write_text("never")
    slipway("start", OTHER)
    support.end_units(two.root)
    slipway("start", OTHER)

    answer = slipway("gate", OTHER, "--timeout", "1")

    assert (answer.error, answer.json["error"]["details"]["marked_bad"]) == ("gate-failed", False)
    assert f"the live release {RELEASE} is not ready either" in answer.message
    assert state(slipway, OTHER) == "staged"


def test_the_live_release_is_neither_stopped_nor_marked_when_it_fails_the_gate(
    two: Host, slipway: Slipway
) -> None:
    support.end_units(two.root)

    answer = slipway("gate", RELEASE, "--timeout", "1")

    assert (answer.error, answer.json["error"]["details"]["marked_bad"]) == ("gate-failed", False)
    assert live(two) == f"releases/{RELEASE}"
    assert enabled(two) == {two.unit(RELEASE)}


def test_a_release_is_not_switched_to_while_its_own_socket_does_not_answer(
    two: Host, slipway: Slipway
) -> None:
    answer = slipway("switch", OTHER)

    assert (answer.code, answer.error) == (3, "switch-failed")
    assert live(two) == f"releases/{RELEASE}"
    assert enabled(two) == {two.unit(RELEASE)}


def test_a_switch_after_which_the_release_does_not_answer_is_renamed_back(
    two: Host, slipway: Slipway, monkeypatch: pytest.MonkeyPatch
) -> None:
    slipway("start", OTHER)
    slipway("gate", OTHER)
    rename = os.replace

    def rename_and_end(source: str, target: str) -> None:
        rename(source, target)
        if str(target).endswith("/current") and live(two).endswith(OTHER):
            support.kill(two, two.unit(OTHER))

    monkeypatch.setattr(os, "replace", rename_and_end)
    answer = slipway("switch", OTHER)

    assert (answer.code, answer.error) == (3, "switch-failed"), answer.json
    assert "after the rename" in answer.message
    assert live(two) == f"releases/{RELEASE}"
    assert enabled(two) == {two.unit(RELEASE)}
    assert gate.probe(two.current / "http.sock").ready(RELEASE)


def test_a_switch_is_refused_when_another_release_is_live_than_expected(two: Host, slipway: Slipway) -> None:
    slipway("start", OTHER)
    slipway("gate", OTHER)
    before = support.snapshot(two.root)

    for expected in (THIRD, "none"):
        answer = slipway("switch", OTHER, "--expect", expected)
        assert (answer.code, answer.error) == (2, "live-differs")
        assert answer.json["error"]["details"] == {"expected": expected, "live": RELEASE}
    assert slipway("switch", OTHER, "--expect", "../../etc").error == "release-id"
    assert support.snapshot(two.root) == before


def test_the_first_release_is_switched_to_from_nothing(host: Host, slipway: Slipway) -> None:
    support.install_release(host, RELEASE)
    slipway("start", RELEASE)
    slipway("gate", RELEASE)

    assert slipway("switch", RELEASE, "--expect", OTHER).error == "live-differs"
    assert slipway("switch", RELEASE, "--expect", "none").result["previous"] is None
    assert slipway("settle", RELEASE).result["warm"] is None


def test_verifying_says_what_is_wrong_and_changes_nothing(two: Host, slipway: Slipway) -> None:
    assert "20261122T160501Z-3f2a9c1 is live" in slipway("verify", OTHER).message
    support.end_units(two.root)

    answer = slipway("verify", RELEASE)

    assert (answer.code, answer.error) == (3, "verify-failed")
    assert "answer 1 of 5" in answer.message
    assert live(two) == f"releases/{RELEASE}"


def test_only_the_live_release_is_settled(two: Host, slipway: Slipway) -> None:
    for command in (["settle"], ["bake", "--seconds", "1"]):
        answer = slipway(command[0], OTHER, *command[1:])
        assert (answer.code, answer.error) == (2, "not-live")


def test_the_live_release_is_not_stopped(two: Host, slipway: Slipway) -> None:
    assert slipway("stop", RELEASE).error == "release-live"
    assert slipway("stop", RELEASE, "--unless-live").json["changed"] is False
    slipway("start", OTHER)
    assert slipway("stop", OTHER, "--unless-live").json["changed"] is True
    assert slipway("stop", OTHER).json["changed"] is False
    assert running(two) == {two.unit(RELEASE)}


def test_a_mark_is_put_and_taken_once(two: Host, slipway: Slipway) -> None:
    words = ["mark-bad", OTHER, "--reason", "leaks"]
    assert [slipway(*words).json["changed"] for _ in range(2)] == [True, False]
    assert slipway("mark-bad", OTHER, "--reason", "leaks more").json["changed"] is True
    assert [slipway("mark-bad", OTHER, "--clear").json["changed"] for _ in range(2)] == [True, False]
    assert slipway("mark-bad", OTHER).code == 2
    assert slipway("mark-bad", OTHER, "--clear", "--reason", "x").code == 2
    assert slipway("mark-bad", THIRD, "--reason", "x").error == "not-staged"


def test_a_release_that_proved_itself_after_all_is_no_longer_bad(two: Host, slipway: Slipway) -> None:
    slipway("mark-bad", OTHER, "--reason", "the database was away")

    deploy(slipway, OTHER)

    assert slipway("list").result["releases"][0]["bad"] is False


def test_pruning_keeps_what_serves_and_what_one_would_go_back_to(two: Host, slipway: Slipway) -> None:
    for release in (THIRD, FOURTH):
        support.install_release(two, release)
    two.release("20261126T080000Z-aadd004").mkdir()
    deploy(slipway, OTHER, "--warm", "0")
    slipway("mark-bad", OTHER, "--reason", "leaks")
    deploy(slipway, THIRD, "--warm", "0")

    answer = slipway("prune", "--keep", "1").result

    # OTHER is bad; RELEASE is the newest verified one that is not live; FOURTH is the newest.
    assert answer == {"removed": [OTHER, "20261126T080000Z-aadd004"], "kept": [RELEASE, THIRD, FOURTH]}
    assert sorted(path.name for path in two.releases.iterdir()) == [RELEASE, THIRD, FOURTH]
    assert slipway("prune", "--keep", "1").json["changed"] is False


def test_pruning_keeps_the_warm_release_and_one_that_is_being_started(two: Host, slipway: Slipway) -> None:
    for release in (THIRD, FOURTH):
        support.install_release(two, release)
    deploy(slipway, OTHER)
    slipway("mark-bad", RELEASE, "--reason", "old")

    assert slipway("prune", "--keep", "1").result["removed"] == [THIRD]

    support.install_release(two, THIRD)
    slipway("start", THIRD)
    # Never do three run: what was warm has ended, and is bad.
    assert slipway("prune", "--keep", "1").result["removed"] == [RELEASE]
    slipway("stop", THIRD)
    assert slipway("prune", "--keep", "1").result["removed"] == [THIRD]


def test_recovering_starts_the_live_release_and_stops_what_is_left_over(two: Host, slipway: Slipway) -> None:
    slipway("start", OTHER)
    support.kill(two, two.unit(RELEASE))
    two.release(THIRD).mkdir()

    answer = slipway("recover").result

    assert (answer["live"], answer["started"], answer["ready"]) == (RELEASE, True, True)
    assert (answer["stopped"], answer["removed"]) == ([OTHER], [f"srv/shop/releases/{THIRD}"])
    assert running(two) == enabled(two) == {two.unit(RELEASE)}
    assert slipway("recover").json["changed"] is False


def test_recovering_leaves_the_warm_release_its_time_and_no_longer(two: Host, slipway: Slipway) -> None:
    deploy(slipway, OTHER)
    assert slipway("recover").json["changed"] is False
    record = two.runtime / "warm.json"
    record.write_text(json.dumps({"release": RELEASE, "until": time.time() - 1}))

    answer = slipway("recover").result

    assert (answer["stopped"], answer["timers"]) == ([RELEASE], [RELEASE])
    assert timers(two) == set()
    assert not record.exists()


def test_after_a_reboot_only_the_live_release_is_there(two: Host, slipway: Slipway) -> None:
    deploy(slipway, OTHER)
    support.end_units(two.root)
    for path in two.runtime.iterdir():
        path.unlink()

    answer = slipway("recover").result

    assert (answer["started"], answer["ready"]) == (True, True)
    assert slipway("status").result["warm"] is None
    assert gate.probe(two.current / "http.sock").ready(OTHER)


def test_recovering_a_live_release_that_is_gone_says_what_to_do(two: Host, slipway: Slipway) -> None:
    (two.release(RELEASE) / "manifest.json").unlink()

    answer = slipway("recover")

    assert (answer.code, answer.error) == (3, "live-missing")
    assert "slipway switch ID" in answer.message


def test_a_bare_host_has_nothing_to_recover_or_prune(host: Host, slipway: Slipway) -> None:
    assert slipway("recover").json["changed"] is False
    assert slipway("prune").json["changed"] is False


@pytest.mark.parametrize(
    "command",
    ["start", "gate", "switch", "verify", "settle", "stop", "mark-bad", "bake", "activate", "migrate"],
)
@pytest.mark.parametrize("release", ["../../etc", "", "-x", f"{RELEASE}/../{RELEASE}", "current"])
def test_no_step_takes_what_is_no_release_id(
    host: Host, slipway: Slipway, command: str, release: str
) -> None:
    before = support.snapshot(host.root)
    more = {"mark-bad": ["--reason", "x"], "bake": ["--seconds", "1"]}.get(command, [])

    answer = slipway(command, release, *more)

    assert (answer.code, answer.error in ("release-id", "usage")) == (2, True), answer.json
    assert support.snapshot(host.root) == before
