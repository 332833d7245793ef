"""`fab doctor` on booted hosts: what is there is met, what is not is said with what to do, what is broken is wrong."""

import json

import pytest

from tests.e2e import hosts
from tests.e2e.fab_runs import Fab
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

# What Slipway sets up on every host that serves, and what it leaves to others until it does.
MET = {
    "secrets", "origins", "https", "headers", "limits", "pool", "server", "compression", "logs", "health", "graceful",
    "workers", "pages", "rollouts", "rotation", "pool-size", "pool-recycle", "keep-alive", "units",
    "disks", "agreement",
}  # fmt: skip
NOT_MET = {
    "cache",
    "sentinel",
    "errors",
    "metrics",
    "speed",
    "standby",
    "takeover",
    "balancing",
    "ssh",
    "firewall",
}


def states(fab: Fab, status: int) -> dict[str, str]:
    """The state of every item."""
    told = json.loads(fab.run("doctor", "--json").ended(status).output)
    assert told["exit_code"] == status
    return {row["id"]: row["state"] for row in told["items"]}


def test_doctor_goes_through_the_list_and_finds_what_verify_finds(host: Host, lab: Lab) -> None:
    fab = Fab(lab.site.inventory.name)
    found = states(fab, 1)
    assert {name: found[name] for name in MET} == dict.fromkeys(MET, "met")
    assert {name: found[name] for name in NOT_MET} == dict.fromkeys(NOT_MET, "not met")

    hosts.output(host, "systemctl disable --quiet nginx")
    try:
        said = fab.run("doctor").ended(2, f"{host.name}: nginx does not start at boot")
    finally:
        hosts.output(host, "systemctl enable --quiet nginx")
    assert said.output.splitlines()[2] == "Hosts"
    left = json.loads(hosts.output(host, "cat /run/slipway/shop/verify.json"))
    assert left["complaints"] == 1
    assert states(fab, 1)["units"] == "met"


@pytest.mark.long
@pytest.mark.usefixtures("fleet_run")
def test_a_host_of_the_fleet_that_is_away_is_said_and_counts_for_nothing(fleet: Lab) -> None:
    fab = Fab(fleet.site.inventory.name)
    found = states(fab, 1)
    assert {"balancing", "agreement", "health", "units"} <= {
        name for name, state in found.items() if state == "met"
    }

    away = fleet.host("app-2")
    away.kill()
    try:
        told = json.loads(fab.run("doctor", "--json").ended(3).output)
    finally:
        away.up()
        away.await_ssh()
    rows = {row["id"]: row["state"] for row in told["items"]}
    assert told["hosts"]["app-2"].startswith("it cannot be reached: ")
    assert {rows[name] for name in ("units", "health", "workers", "secrets", "agreement")} == {"unseen"}
