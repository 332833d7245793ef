"""The live release is started anew, drained, when what the edge had sent is answered; and how a failure leaves it."""

from __future__ import annotations

import json

import pytest
from slipway.traffic import further

from tests.unit.conftest import Slipway
from tests.unit.slipway import support
from tests.unit.slipway.support import OTHER, RELEASE, Host
from tests.unit.slipway.test_activate import live, running
from tests.unit.slipway.test_closed import Network, needs_root, network
from tests.unit.slipway.test_processes import SERVICE, workers

pytestmark = pytest.mark.usefixtures("quick_systemd")

__all__ = ["network"]


@pytest.fixture
def serving(network: Network) -> Network:
    support.install_release(network.host, RELEASE)
    assert network.slipway("activate", RELEASE).code == 0
    return network


def pid(host: Host) -> object:
    return support.unit_states(host.root)[host.unit(RELEASE)]["pid"]


@needs_root
def test_an_instance_is_replaced_while_the_edge_asks_others(serving: Network) -> None:
    before = pid(serving.host)
    serving.ask("close")

    answer = serving.slipway("restart", RELEASE)

    assert (answer.code, answer.json["changed"], answer.result["drained"]) == (0, True, False)
    assert pid(serving.host) != before
    assert (serving.ask("new"), live(serving.host)) == ("accepted", f"releases/{RELEASE}")
    steps = [entry["step"] for entry in serving.slipway("journal", "--lines", "6").result["entries"]]
    assert steps == ["drain", "drain", "restart", "restart", "undrain", "undrain"]


@needs_root
def test_it_is_not_stopped_while_a_connection_of_the_edge_is_open(serving: Network) -> None:
    host, before = serving.host, pid(serving.host)
    unit, seen = host.root.parent / f"fake/units/{host.unit(RELEASE)}.json", host.root.parent / "seen.json"
    begun = f"""grep -q '"step": "restart"' {host.journal}"""
    # A moment after the restart has begun somebody looks, and only then does the edge's connection end.
    looking = f"until {begun}; do sleep 0.05; done; sleep 0.5; cp {unit} {seen}; ss -K sport = :8443"
    serving.ask(f"({looking}) >/dev/null 2>&1 &")

    answer = serving.slipway("restart", RELEASE)

    assert answer.code == 0, answer.json
    assert json.loads(seen.read_text())["pid"] == before
    assert pid(host) != before


@needs_root
def test_one_that_does_not_serve_again_stays_drained(serving: Network) -> None:
    serving.ask("close")
    (serving.host.release(RELEASE) / "behaviour").write_text("never")

    answer = serving.slipway("restart", RELEASE, "--timeout", "0.3")

    assert (answer.code, answer.error) == (3, "restart-failed")
    assert "This host stays drained" in answer.message
    assert serving.ask("new") == "ConnectionRefusedError"
    assert serving.slipway("list").result["releases"][0]["bad"] is False


@needs_root
def test_its_processes_are_started_anew_after_it_and_one_that_is_not_keeps_the_host_drained(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(further, "PROOF_SECONDS", 0.3)
    support.install_release(network.host, RELEASE, service=SERVICE)
    assert network.slipway("activate", RELEASE).code == 0
    network.ask("close")
    unit = further.unit_of(network.host, f"{RELEASE}:worker")
    before = support.unit_states(network.host.root)[unit]["pid"]

    assert network.slipway("restart", RELEASE).code == 0

    assert support.unit_states(network.host.root)[unit]["pid"] != before
    assert workers(network.host) == {f"{RELEASE}:worker"}
    (network.host.release(RELEASE) / "process").write_text("crash")
    answer = network.slipway("restart", RELEASE)
    assert (answer.code, answer.error) == (3, "restart-failed")
    assert "was started anew and is ready. The process worker of release" in answer.message
    assert "This host stays drained" in answer.message
    assert network.ask("new") == "ConnectionRefusedError"


@needs_root
def test_a_host_that_was_drained_before_stays_so(serving: Network) -> None:
    serving.ask("close")
    serving.slipway("drain")

    assert serving.slipway("restart", RELEASE).result["drained"] is True
    assert serving.ask("new") == "ConnectionRefusedError"


@needs_root
@pytest.mark.parametrize("point", range(1, 7))
def test_a_restart_that_is_killed_at_any_record_ends_on_the_live_release(
    serving: Network, point: int
) -> None:
    serving.ask("close")
    assert serving.slipway("restart", RELEASE, kill_after=point).code != 0

    assert serving.slipway("recover").code == 0
    assert serving.slipway("undrain").code == 0

    assert running(serving.host) == {serving.host.unit(RELEASE)}
    assert serving.ask("new") == "accepted"
    status = serving.slipway("status").result
    assert (status["unfinished"], status["live"]["socket"]["ready"]) == ([], True)


def test_what_is_not_live_and_a_host_without_an_edge_are_refused(host: Host, slipway: Slipway) -> None:
    for release in (RELEASE, OTHER):
        support.install_release(host, release)
    slipway("activate", RELEASE)
    before = support.snapshot(host.root)

    assert slipway("restart", OTHER).error == "not-live"
    host.private_server.unlink()
    assert slipway("restart", RELEASE).error == "not-listening"

    assert running(host) == {host.unit(RELEASE)}
    assert support.snapshot(host.root).keys() <= before.keys()
