"""The end of a warm time never meets a release that a rollout has proved and is about to use."""

from __future__ import annotations

import json
import time

import pytest

from tests.unit.conftest import Slipway
from tests.unit.slipway.support import OTHER, RELEASE, Host
from tests.unit.slipway.test_activate import live, running
from tests.unit.slipway.test_steps import deploy, timers, two

pytestmark = pytest.mark.usefixtures("quick_systemd")

__all__ = ["two"]


def test_a_timer_does_not_stop_what_has_passed_its_gate(two: Host, slipway: Slipway) -> None:
    """Nor when the record says that there is time enough, as after a clock that was set back."""
    deploy(slipway, OTHER, "--warm", "3")
    record = two.runtime / "warm.json"
    record.write_text(json.dumps({"release": RELEASE, "until": time.time() + 3600}))
    for words in (["start", RELEASE], ["gate", RELEASE]):
        assert slipway(*words).code == 0

    time.sleep(3.5)

    assert two.unit(RELEASE) in running(two)
    assert timers(two) == set()
    assert slipway("switch", RELEASE, "--expect", OTHER).code == 0
    assert live(two) == f"releases/{RELEASE}"


def test_a_timer_that_has_fired_stops_nothing_whose_warm_time_is_another(two: Host, slipway: Slipway) -> None:
    """It waits for the lock, and asks once it has it."""
    deploy(slipway, OTHER)
    until = json.loads((two.runtime / "warm.json").read_bytes())["until"]
    stopping = ["stop", RELEASE, "--unless-live", f"--warm-until={until}"]

    slipway("gate", RELEASE)
    assert slipway(*stopping).json["changed"] is False
    assert two.unit(RELEASE) in running(two)

    slipway("switch", RELEASE)
    slipway("settle", RELEASE)
    assert slipway(*stopping).json["changed"] is False
    deploy(slipway, OTHER)
    assert slipway(*stopping).json["changed"] is False
    until = json.loads((two.runtime / "warm.json").read_bytes())["until"]
    assert slipway(*stopping[:-1], f"--warm-until={until}").json["changed"] is True
    assert running(two) == {two.unit(OTHER)}


def test_a_proved_release_that_nobody_switched_to_is_put_away_by_recover(two: Host, slipway: Slipway) -> None:
    """Whoever was about to use it died: no timer waits for it any more."""
    deploy(slipway, OTHER)
    slipway("start", RELEASE)
    slipway("gate", RELEASE)

    assert slipway("recover").result["stopped"] == [RELEASE]
    assert running(two) == {two.unit(OTHER)}
