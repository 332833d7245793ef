"""`fab deploy`: a bundle becomes the live release of every app host, or every host stays on what it serves."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from fabfile.bundle import signing
from fabfile.bundle.archive import Bundle, manifest_of
from fabfile.errors import FabError, FailedError, FencedError, LockedError, RefusedError
from fabfile.hosts import state
from fabfile.hosts.environment import Environment
from fabfile.hosts.fleet import AnswerError, Fleet, batches, performed
from fabfile.interruption import in_order
from fabfile.migration.following import following
from fabfile.report import Report
from fabfile.rollout import agreement, plan, preflight, recover
from fabfile.rollout.path import Rollout
from fabfile.rollout.rollback import Moved
from fabfile.rollout.shipping import ship
from fabfile.traffic import public
from fabfile.traffic.probe import Probe
from fabfile.turn import record
from fabfile.turn.lease import Claim, Lease, describe, holding
from fabfile.turn.steps import GRACE_SECONDS

# What the host says when it stopped waiting for a migration that goes on.
UNHEARD = ("migration-timeout", "interrupted")


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
    key, missing = "", []
    try:
        key = signing.foreseen(environment.signing, bundle)
    except RefusedError as refusal:
        missing = [str(refusal)]
    with Fleet(environment, without) as fleet:
        fleet.require_all()
        planned = _looked_at(environment, bundle, state.read(fleet), key)
    planned = replace(planned, problems=[*planned.problems, *missing])
    locks = _locks(environment, bundle, planned.migrations) if planned.migrations else []
    return replace(planned, locks=locks, notes=[*planned.notes, *public.certificate(environment.public)])


def _looked_at(
    environment: Environment, bundle: Bundle, states: state.States, signed_with: str = ""
) -> plan.Plan:
    """The plan with what the database says, where there is something to apply."""
    planned = plan.make(environment, manifest_of(bundle.path), states, signed_with)
    if not planned.migrations:
        return planned
    found = preflight.before_migrating(environment)
    problems, notes = [*planned.problems, *found.problems], [*planned.notes, *found.notes]
    return replace(planned, problems=problems, notes=notes, backup=found.backup)


def _locks(environment: Environment, bundle: Bundle, migrations: Sequence[str]) -> list[str]:
    """The strongest lock of each, by what the release's own code says here; or why that cannot be told."""
    from fabfile.migration import source, statements

    try:
        sql = source.of_bundle(bundle.path, settings=environment.settings).sql
        names = [migration.partition(" ")[0] for migration in migrations]
        return [f"{name}: {statements.summary(statements.effects(sql[name]))}" for name in names]
    except (FabError, KeyError) as failure:
        return [f"their locks cannot be told here: {failure}"]


def require_free(environment: Environment, without: Sequence[str] = ()) -> None:
    """Raise LockedError when another deploy holds the lease, before a minute goes into a build for nothing."""
    with Fleet(environment, without) as fleet:
        fleet.require_all()
        found = fleet.each(lambda remote: performed(remote, ["status"])[0].result.get("lease") or {})
    for held in found.values():
        if held.get("state") == "held":
            raise LockedError(describe(environment.name, held, 0))


def deploy(environment: Environment, report: Report, bundle: Bundle, options: Options) -> Moved:
    """Bring the bundle's release live. Raises FabError; what it says is how things are then."""
    began = time.monotonic()
    # Before anybody is kept waiting: it may ask for a passphrase.
    bundle = signing.signed(environment.signing, bundle)
    claim = Claim(environment.name, options.ticket)
    with in_order(), Fleet(environment, options.without) as fleet:
        fleet.require_all()
        fleet.each(lambda remote: remote.require_sessions())
        with holding(fleet, claim, options.wait) as (lease, states), Probe(environment.public) as probe:
            if lease.taken_over or agreement.left_open(states) or state.unequal(states):
                states = recover.converge(fleet, lease, report, environment, states)
            planned = _checked(environment, bundle, states)
            previous = {name: found.live for name, found in states.items()}
            if set(previous.values()) == {bundle.release}:
                raise RefusedError(f"{bundle.release} is live on every host already. Nothing was changed.")
            for note in [*planned.notes, *([planned.backup] if planned.backup else [])]:
                report.step("note", note)
            policy = (
                environment.policy if options.gate is None else replace(environment.policy, gate=options.gate)
            )
            rollout = Rollout(fleet, lease, report, policy, bundle.release, previous, probe)
            details: dict[str, Any] = {
                "previous": previous,
                "plan": planned.digest,
                "ticket": options.ticket,
                "sha256": bundle.sha256[:16],
                **({"signed_with": bundle.signed_with} if bundle.signed_with else {}),
            }
            with record.around(fleet, lease, "deploy", bundle.release, probe, **details) as last:
                _build(fleet, lease, report, bundle)
                _migrate(fleet, lease, report, bundle, planned)
                rollout.prove()
                rollout.require_public(states)
                for note in public.ending(environment.public, probe.ends):
                    report.step("note", note)
                bake = environment.policy.bake if options.bake is None else options.bake
                rollout.move(batches(fleet.remotes, options.batch, options.canary), bake)
                rollout.settle(
                    environment.policy.warm, ["prune", f"--keep={environment.policy.keep}"], last()
                )
        public.complain(probe, bundle.release, environment.name)
    return Moved(bundle.release, previous, time.monotonic() - began, probe.seen.as_record())


def _checked(environment: Environment, bundle: Bundle, states: dict[str, state.HostState]) -> plan.Plan:
    planned = _looked_at(environment, bundle, states, bundle.signed_with)
    if planned.problems:
        raise RefusedError(f"{planned.text()}\nNothing was changed.")
    return planned


def _build(fleet: Fleet, lease: Lease, report: Report, bundle: Bundle) -> None:
    report.step("build", f"{bundle.release} on every host")

    def build() -> None:
        fleet.each(lambda remote: ship(remote, bundle, lease, report))

    _before_the_barrier(build, f"{bundle.release} could not be built on every host")
    lease.check()


def _migrate(fleet: Fleet, lease: Lease, report: Report, bundle: Bundle, planned: plan.Plan) -> None:
    report.step("migrate", "; ".join(planned.migrations) or "nothing to apply")
    seconds = fleet.environment.policy.migrate
    words = ["migrate", bundle.release, f"--timeout={seconds:g}", *lease.words]

    def migrate() -> None:
        telling = following(fleet.first, bundle.app, bundle.release, partial(report.told, fleet.first.name))
        with telling if planned.migrations else nullcontext():
            performed(fleet.first, words, seconds=seconds + GRACE_SECONDS)

    on = (
        f" A migration that has begun goes on in its unit on {fleet.first.name}, each revision whole or not at all, "
        f"and needs nobody who watches. To see how it ends: fab migrate --env {fleet.environment.name}"
    )
    what = f"the schema could not be brought to {bundle.release}"
    _before_the_barrier(migrate, what, on if planned.migrations else "")
    lease.check()


def _before_the_barrier(work: Callable[[], None], what: str, goes_on: str = "") -> None:
    """goes_on: what is still under way when nobody heard how it ended."""
    try:
        work()
    except FabError as failure:
        if failure.exit_code in (LockedError.exit_code, FencedError.exit_code):
            raise
        heard = isinstance(failure, AnswerError) and failure.answer.code not in UNHEARD
        after = " What was half built is swept by the next deploy." if heard or not goes_on else goes_on
        raise FailedError(
            f"{what[0].upper()}{what[1:]}:\n{failure}\nNo traffic was moved; every host serves what it served.{after}"
        ) from failure
