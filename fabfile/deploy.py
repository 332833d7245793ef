"""`fab deploy`: a bundle becomes the live release of every app host, or every host stays on what it serves."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from fabfile import plan, record, recover, state
from fabfile.bundle import Bundle
from fabfile.environment import Environment
from fabfile.errors import FabError, FailedError, RefusedError
from fabfile.fleet import Fleet, performed
from fabfile.lease import Claim, Lease, acquire, beating
from fabfile.migration.following import following
from fabfile.probe import Probe
from fabfile.report import Report
from fabfile.rollback import CONVERGE_SECONDS, Moved
from fabfile.rollout import GRACE_SECONDS, Rollout, batches, wait_for_the_public
from fabfile.shipping import ship

MIGRATE_SECONDS = 900.0


@dataclass(frozen=True)
class Options:
    """batch: hosts switched at a time, a number or a share; canary: the first host alone, before. bake: seconds
    a batch is watched, gate: those a release may take to be ready, None for the environment's. wait: seconds to queue
    behind another deploy."""

    batch: str = ""
    canary: bool = False
    bake: float | None = None
    gate: float | None = None
    ticket: str = ""
    wait: float = 0.0
    without: Sequence[str] = ()


def make_plan(environment: Environment, bundle: Bundle, without: Sequence[str] = ()) -> plan.Plan:
    """What a deploy of the bundle would do now."""
    with Fleet(environment, without) as fleet:
        fleet.require_all()
        planned = plan.make(environment, plan.manifest_of(bundle.path), state.read(fleet))
    return replace(planned, locks=_locks(bundle, planned.migrations)) if planned.migrations else planned


def _locks(bundle: Bundle, migrations: Sequence[str]) -> list[str]:
    """The strongest lock of each, by what the release's own code says here; or why that cannot be told."""
    from fabfile.migration import source, statements

    try:
        sql = source.of_bundle(bundle.path).sql
        names = [migration.partition(" ")[0] for migration in migrations]
        return [f"{name}: {statements.summary(statements.effects(sql[name]))}" for name in names]
    except (FabError, KeyError) as failure:
        return [f"their locks cannot be told here: {failure}"]


def deploy(environment: Environment, report: Report, bundle: Bundle, options: Options) -> Moved:
    """Bring the bundle's release live. Raises FabError; what it says is how things are then."""
    began = time.monotonic()
    with Fleet(environment, options.without) as fleet:
        fleet.require_all()
        claim = Claim(environment.name, options.ticket)
        lease, answers = acquire(fleet.first, claim, options.wait, *state.READING)
        with beating(lease), Probe(environment.public) as probe:
            states = state.read_others(fleet, answers)
            if lease.taken_over or state.unequal(states):
                states = recover.converge(fleet, lease, report, environment, states)
            planned = _checked(environment, bundle, states)
            previous = {name: found.live for name, found in states.items()}
            if set(previous.values()) == {bundle.release}:
                raise RefusedError(f"{bundle.release} is live on every host already. Nothing was changed.")
            policy = (
                environment.policy if options.gate is None else replace(environment.policy, gate=options.gate)
            )
            rollout = Rollout(fleet, lease, report, policy, bundle.release, previous)
            details: dict[str, Any] = {
                "previous": previous,
                "plan": planned.digest,
                "ticket": options.ticket,
                "sha256": bundle.sha256[:16],
            }
            with record.around(fleet, lease, "deploy", bundle.release, probe, **details) as last:
                _build(fleet, lease, report, bundle)
                _migrate(fleet, lease, report, bundle, planned)
                rollout.prove()
                bake = environment.policy.bake if options.bake is None else options.bake
                rollout.move(batches(fleet.remotes, options.batch, options.canary), bake)
                wait_for_the_public(probe, bundle.release, CONVERGE_SECONDS)
                rollout.settle(
                    environment.policy.warm, ["prune", f"--keep={environment.policy.keep}"], last()
                )
    return Moved(bundle.release, previous, time.monotonic() - began, probe.seen.as_record())


def _checked(environment: Environment, bundle: Bundle, states: dict[str, state.HostState]) -> plan.Plan:
    planned = plan.make(environment, plan.manifest_of(bundle.path), states)
    if planned.problems:
        raise RefusedError(f"{planned.text()}\nNothing was changed.")
    return planned


def _build(fleet: Fleet, lease: Lease, report: Report, bundle: Bundle) -> None:
    report.step("build", f"{bundle.release}, {bundle.path.stat().st_size / 1e6:.0f} MB, on every host")

    def build() -> None:
        fleet.each(lambda remote: ship(remote, bundle, lease, report))

    _before_the_barrier(build, f"{bundle.release} could not be built on every host")
    lease.check()


def _migrate(fleet: Fleet, lease: Lease, report: Report, bundle: Bundle, planned: plan.Plan) -> None:
    report.step("migrate", "; ".join(planned.migrations) or "nothing to apply")
    words = ["migrate", bundle.release, f"--timeout={MIGRATE_SECONDS:g}", *lease.words]

    def migrate() -> None:
        telling = following(fleet.first, bundle.release, partial(report.told, fleet.first.name))
        with telling if planned.migrations else nullcontext():
            performed(fleet.first, words, seconds=MIGRATE_SECONDS + GRACE_SECONDS)

    _before_the_barrier(migrate, f"the schema could not be brought to {bundle.release}")
    lease.check()


def _before_the_barrier(work: Callable[[], None], what: str) -> None:
    try:
        work()
    except FabError as failure:
        if failure.exit_code in (4, 7):
            raise
        raise FailedError(
            f"{what[0].upper()}{what[1:]}:\n{failure}\nNo traffic was moved; every host serves what it served. "
            "What was half built is swept by the next deploy."
        ) from failure
