"""A deploy that is cut off at each of its steps, in each way: one release serves, and the next command ends it well."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import serving
from tests.e2e.fab_runs import MADE, Started, release_of, relocked
from tests.e2e.freezing import Frozen, Moment, Watch
from tests.e2e.ground import Ground, entries, ground_of, running, slipway
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(600)]

STEPS = (
    *("lease.acquire", "stage", "stage.unpack", "stage.install", "stage.publish", "migrate", "start", "gate"),
    *("switch", "verify", "bake", "settle", "prune", "lease.release"),
)
NOTES = ("deploy.begin", "deploy.end")
MOMENTS = [
    *(Moment(step, phase) for step in STEPS for phase in ("begin", "end")),
    *(Moment(step, "note") for step in NOTES),
]
# Only what has another lock builds one.
ENVIRONMENT = [Moment("stage.environment", phase) for phase in ("begin", "end")]
BAKE, RATE, CLIENTS = 1.0, 20.0, 2
# Most of a deploy's time goes into building what it ships: only the steps that build need a bundle of their own.
BUILDING = ("stage", "stage.unpack", "stage.install", "stage.publish", "prune")
POOL: list[Path] = []
# deploy_keep_releases.
KEPT = 5


def kill_the_controller(started: Started, frozen: Frozen) -> None:
    """The machine of whoever deploys is gone; what runs on the host goes on."""
    os.killpg(started.process.pid, signal.SIGKILL)
    frozen.thaw()


def cut_the_session(started: Started, frozen: Frozen) -> None:
    """The connection breaks; both ends go on and notice."""
    frozen.send("KILL", frozen.sessions)
    frozen.thaw()


def kill_the_helper(started: Started, frozen: Frozen) -> None:
    """Slipway dies on the host; its sudo, which had stopped with it, goes on and says so."""
    frozen.send("KILL", frozen.helpers)
    frozen.thaw()


def crash_the_host(started: Started, frozen: Frozen) -> None:
    """All that runs on the host ends at once; it boots again."""
    frozen.host.kill()
    frozen.host.up()


Fault = Callable[[Started, Frozen], None]
FAULTS: tuple[Fault, ...] = (kill_the_controller, cut_the_session, kill_the_helper, crash_the_host)


# Slipway killed before traffic moves, the host after it.
SHARE = {
    (kill_the_helper, Moment("stage.install", "begin")),
    (crash_the_host, Moment("switch", "end")),
}
CELLS = [
    pytest.param(
        moment,
        fault,
        id=f"{fault.__name__} at {moment}".replace("_", " "),
        marks=[pytest.mark.share] if (fault, moment) in SHARE else [],
    )
    for fault in FAULTS
    for moment in [*MOMENTS, *ENVIRONMENT]
]


@pytest.fixture(scope="module")
def ground(spoilt: Host, lab: Lab, site: Site) -> Ground:
    """One host that serves, with as many releases as are kept: each deploy prunes one."""
    made = ground_of(lab, site)
    POOL.extend(made.release() for _ in range(2))
    # These stay to the end.
    MADE.clear()
    for bundle in POOL:
        made.fab.deploy(bundle).ended(0)
    while len(slipway(made.first, "list")["releases"]) < KEPT:
        made.fab.deploy(made.release()).ended(0)
    return made


def test_the_matrix_has_every_step_of_a_deploy(ground: Ground) -> None:
    """What a deploy journals is what the matrix is made of: a new step is missed here."""
    before = len(entries(ground.first))
    ground.fab.deploy(ground.release(), bake=BAKE).ended(0)
    seen = {Moment(entry["step"], entry["phase"]) for entry in entries(ground.first)[before:]}
    assert seen == set(MOMENTS)


@pytest.mark.parametrize(("moment", "fault"), CELLS)
def test_a_deploy_that_is_cut_off(moment: Moment, fault: Fault, ground: Ground, site: Site) -> None:
    shop, before, host = ground.shop(CLIENTS), ground.live(), ground.first
    bundle = ground.release() if moment.step in BUILDING else other_than(before)
    if moment in ENVIRONMENT:
        bundle = relocked(ground.bundle)
    new = release_of(bundle)
    if moment.step == "start" and new in running(host):
        # What is warm still needs no start.
        slipway(host, "stop", new, "--unless-live", "--wait=60")
    watch = Watch(host, moment, new)
    with shop.load(RATE) as load:
        started = ground.fab.start("deploy", f"--bundle={bundle}", f"--bake={BAKE:g}")
        frozen = watch.frozen()
        fault(started, frozen)
        done = started.wait()
        serving(host, site)
        after = site.get("/health/live").headers["X-Release"]
        assert after in (before, new), f"{after} serves\n{done}"
        end = end_it(ground, moment)
    seen = load.seen
    assert {answer.release for answer in seen.answers if answer.release} <= {before, new, end}, seen
    if fault is not crash_the_host:
        seen.lost_nothing()
    assert {answer.key for answer in seen.answers if answer.status == 201} <= shop.keys()
    ground.is_whole(before, new, end)


def other_than(live: str) -> Path:
    """A bundle of a release that is not live, and as a rule on the host already."""
    return next(bundle for bundle in POOL if release_of(bundle) != live)


def end_it(ground: Ground, moment: Moment) -> str:
    """Type what an operator types next: `fab recover`, or simply the next deploy. Return what serves then."""
    if moment.phase == "begin":
        ground.fab.run("recover", "--wait=90").ended(0)
        return ground.live()
    bundle = other_than(ground.live())
    ground.fab.deploy(bundle, "--wait=90").ended(0)
    return release_of(bundle)
