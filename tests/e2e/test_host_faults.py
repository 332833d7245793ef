"""Each fault of host_faults/table.py is made on booted hosts under orders: what was promised holds.

One alone: make faults FAULT=F19 (F1: with its colon, for F1 begins F19, too). What was measured goes to
docs/faults-on-hosts.md.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks
from tests.e2e.conftest import AS_IS, BOOT_TO_SERVING, serving
from tests.e2e.ground import ground_of
from tests.e2e.host_faults import page
from tests.e2e.host_faults.fault import Fault, Left, Scene
from tests.e2e.host_faults.measures import broken
from tests.e2e.host_faults.table import ROWS
from tests.e2e.host_faults.witness import Witness

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.faults, pytest.mark.timeout(1200)]

BEFORE, AFTER = 3, 5
# Of make test, too.
SHARE = "F3:worker"


@pytest.fixture
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    """The hosts of a fault, serving, whatever the one before has left."""
    fault: Fault = request.node.callspec.params["fault"]
    found = found_for(request, fault)
    found.at_home = fault.at_home
    yield found
    found.end()


def found_for(request: pytest.FixtureRequest, fault: Fault) -> Scene:
    if fault.ground == "fleet":
        lab, site = request.getfixturevalue("fleet"), request.getfixturevalue("fleet_site")
        return Scene(
            ground_of(lab, site),
            request.getfixturevalue("fleet_playbooks"),
            request.getfixturevalue("fleet_secrets"),
        )
    host, lab, site = (request.getfixturevalue(name) for name in ("configured", "lab", "site"))
    playbooks: Playbooks = request.getfixturevalue("playbooks")
    if not AS_IS and not site.ready():
        host.restore("serving")
        serving(host, site)
    return Scene(ground_of(lab, site), playbooks)


def serves_again(scene: Scene) -> bool:
    """Whether the public is served again without a hand."""
    deadline = time.monotonic() + BOOT_TO_SERVING
    while not scene.ground.site.ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(row, id=row.name, marks=[pytest.mark.share] if row.name == SHARE else [])
        for row in ROWS
        if isinstance(row, Fault)
    ],
)
def test_what_was_promised_holds(fault: Fault, scene: Scene) -> None:
    with Witness(scene) as witness:
        time.sleep(BEFORE)
        since = time.time()
        fault.made(scene)
        time.sleep(fault.lasts)
        if fault.healed:
            since = time.time()
            fault.healed(scene)
        again = serves_again(scene)
        time.sleep(AFTER)
    if not again:
        # Somebody's hand.
        scene.converge()
    measured = {**witness.measured(since), **scene.took}
    if not again:
        measured["back"] = math.inf
    measured["changed"] = scene.converge().changed
    page.keep(fault.name, {"measured": measured})
    print(fault.name, measured)
    assert broken(fault.promise, measured) == [], "\n".join(
        hosts.journal(host) for host in scene.ground.app_hosts
    )


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS if isinstance(row, Left)])
def test_what_is_not_made_says_why(row: Left) -> None:
    pytest.skip(f"{row.fault}: {row.reason}")
