"""The gate and the look after the switch ask as a customer does; and in which order releases came live."""

from __future__ import annotations

import pytest

from tests.unit.conftest import Slipway
from tests.unit.slipway import support
from tests.unit.slipway.support import OTHER, RELEASE, THIRD, Host
from tests.unit.slipway.test_activate import live

pytestmark = pytest.mark.usefixtures("quick_systemd")

ASKING = ["--public", "shop.test", "--path", "/api/v1/products?limit=1"]


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [("nameless", "by the name shop.test it answers HTTP 421"), ("broken", "answers HTTP 500")],
)
def test_a_release_that_is_ready_and_refuses_customers_does_not_pass_the_gate(
    host: Host, slipway: Slipway, behaviour: str, said: str
) -> None:
    support.install_release(host, RELEASE)
    support.install_release(host, OTHER, behaviour)
    slipway("activate", RELEASE)
    slipway("start", OTHER)

    answer = slipway("gate", OTHER, *ASKING)

    assert (answer.code, answer.error) == (3, "public-refused")
    assert said in answer.message
    assert "it is not marked bad" in answer.message
    status = slipway("status").result
    assert (status["running"], live(host)) == ([RELEASE], f"releases/{RELEASE}")


def test_verify_asks_as_a_customer_where_the_traffic_goes(host: Host, slipway: Slipway) -> None:
    support.install_release(host, RELEASE, "nameless")
    slipway("activate", RELEASE)

    assert slipway("verify", RELEASE).code == 0
    assert slipway("verify", RELEASE, "--public", "shop.example").code == 0
    assert slipway("verify", RELEASE, *ASKING).error == "verify-failed"


@pytest.mark.parametrize("words", [["--public", "a b"], ["--public", "-x"], ["--public", "h", "--path", "x"]])
def test_names_and_paths_that_are_none_are_refused(host: Host, slipway: Slipway, words: list[str]) -> None:
    support.install_release(host, RELEASE)
    assert slipway("verify", RELEASE, *words).code == 2


def test_status_tells_in_which_order_releases_came_live(host: Host, slipway: Slipway) -> None:
    """A release's name says when it was built: here the newest by name came live first."""
    for release in (RELEASE, OTHER, THIRD):
        support.install_release(host, release)
    for release in (THIRD, RELEASE, OTHER):
        slipway("activate", release)
    assert slipway("status").result["before"] == [RELEASE, THIRD]

    slipway("activate", RELEASE)

    # What was gone back from is not gone forward to.
    assert slipway("status").result["before"] == [THIRD]


def test_a_controllers_newest_note_has_its_fence(host: Host, slipway: Slipway) -> None:
    slipway("record", "deploy.begin", "--fence", "4")
    slipway("record", "recover.end", "--fence", "5")

    note = slipway("status").result["last_record"]
    assert (note["kind"], note["fence"]) == ("recover.end", 5)


def test_status_tells_how_much_memory_there_is_for_another_release(host: Host, slipway: Slipway) -> None:
    meminfo = host.path("/proc/meminfo")
    meminfo.parent.mkdir()
    meminfo.write_text("MemTotal:       2000 kB\nMemAvailable:    1500 kB\n")
    support.install_release(host, RELEASE)
    slipway("activate", RELEASE)

    assert slipway("status").result["memory"] == {
        "available": 1500 * 1024,
        "used": {RELEASE: 300_000_000},
        "most": 1 << 30,
    }
