"""nginx of an app host starts after its release answers, and not much later where that never does."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from tests.unit.conftest import Slipway
from tests.unit.slipway import support
from tests.unit.slipway.support import RELEASE, Host

pytestmark = pytest.mark.usefixtures("quick_systemd")


def test_nothing_is_waited_for_where_nothing_is_live(slipway: Slipway) -> None:
    answer = slipway("await")
    assert (answer.code, answer.result["release"]) == (0, None)


def test_it_ends_when_the_live_release_answers_and_changes_nothing(host: Host, slipway: Slipway) -> None:
    support.install_release(host, RELEASE)
    assert slipway("activate", RELEASE).code == 0
    unit = host.unit(RELEASE)
    subprocess.run([host.systemctl, "stop", "--", unit], check=True)
    waiting = subprocess.Popen(
        support.command(host.root, "await", "--timeout=20"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    time.sleep(1)
    assert waiting.poll() is None
    subprocess.run([host.systemctl, "start", "--", unit], check=True)
    said, _ = waiting.communicate(timeout=30)
    assert (waiting.returncode, json.loads(said)["result"]["release"]) == (0, RELEASE)
    assert json.loads(said)["changed"] is False


def test_one_that_never_answers_is_given_up(host: Host, slipway: Slipway) -> None:
    support.install_release(host, RELEASE)
    assert slipway("activate", RELEASE).code == 0
    subprocess.run([host.systemctl, "stop", "--", host.unit(RELEASE)], check=True)
    answer = slipway("await", "--timeout=0.3")
    assert (answer.code, answer.error) == (3, "not-ready")
    assert f"Release {RELEASE} was not ready within 0.3 s" in answer.message
