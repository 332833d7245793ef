"""`fab rollback`: an earlier release is live again on every host, by the same path as a deploy, without a build."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fabfile import schema
from fabfile.errors import RefusedError
from fabfile.hosts import state
from fabfile.hosts.environment import Environment
from fabfile.hosts.fleet import Fleet, batches
from fabfile.hosts.state import States
from fabfile.interruption import in_order
from fabfile.report import Report
from fabfile.rollout.path import Rollout
from fabfile.traffic import public
from fabfile.traffic.probe import Probe
from fabfile.turn import record
from fabfile.turn.lease import Claim, describe, holding

# To each host: what stands, gate, switch, settle; on the only one gate and switch are one.
CALLS = 4


@dataclass(frozen=True)
class Moved:
    """What was done: to which release from which, how long it took (seconds), what the probe saw."""

    release: str
    previous: dict[str, str | None]
    seconds: float
    seen: dict[str, Any]


def rollback(
    environment: Environment,
    report: Report,
    to: str = "",
    ticket: str = "",
    wait: float = 0.0,
    without: Sequence[str] = (),
) -> Moved:
    """Go back to a release id, else to what was live before the live one. Raises FabError."""
    began = time.monotonic()
    with in_order(), Probe(environment.public) as probe, Fleet(environment, without) as fleet:
        fleet.require_all()
        fleet.prepare(CALLS if len(fleet.remotes) > 1 else CALLS - 1)
        with holding(fleet, Claim(environment.name, ticket), wait) as (lease, states):
            target, previous = chosen(states, to)
            report.step("rollback", f"to {target}")
            rollout = Rollout(fleet, lease, report, environment.policy, target, previous, probe)
            begin = record.words("rollback.begin", target, previous=previous, ticket=ticket)
            with record.around(
                fleet, lease, "rollback", target, probe, announce=False, previous=previous
            ) as last:
                if len(fleet.remotes) == 1:
                    rollout.prove_and_move(begin)
                else:
                    rollout.prove(begin)
                    rollout.move(batches(fleet.remotes, "", canary=False), bake=0)
                rollout.settle(environment.policy.warm, last())
        public.complain(probe, target, environment.name)
    return Moved(target, previous, time.monotonic() - began, probe.seen.as_record())


def plan(environment: Environment, to: str = "", without: Sequence[str] = ()) -> str:
    """What a rollback would do now, in lines: to which release, how quickly, and what speaks against it."""
    with Fleet(environment, without) as fleet:
        fleet.require_all()
        states = state.read(fleet)
    target, previous = chosen(states, to)
    lines = [f"{environment.name} would go back to {target}; its schema is allowed, and no migration runs."]
    for name, found in states.items():
        until = found.releases[target].get("warm_until")
        how = (
            f"warm until {until}: at once"
            if until
            else f"{found.state_of(target)}: it has to be started first"
        )
        lines.append(f"  {name}: serves {previous[name] or 'nothing'}; {target} is {how}")
    held = next((found.status["lease"] for found in states.values() if found.status.get("lease")), None)
    if held and held.get("state") == "held":
        lines.append(f"  IN THE WAY: {describe(environment.name, held, 0)}")
    return "\n".join(lines)


def chosen(states: States, to: str) -> tuple[str, dict[str, str | None]]:
    """The release to go back to, and what each host serves now. Raises RefusedError when it cannot be."""
    target = state.rollback_target(states, to)
    previous = {name: found.live for name, found in states.items()}
    _check(states, target, previous)
    return target, previous


def _check(states: States, target: str, previous: dict[str, str | None]) -> None:
    if set(previous.values()) == {target}:
        raise RefusedError(f"{target} is live on every host already. Nothing was changed.")
    chains = [schema.of_manifest(row) for found in states.values() for row in found.releases.values()]
    for found in states.values():
        head = found.releases[target].get("schema_head")
        reason = schema.outside(head, found.schema_applied, chains)
        if reason:
            raise RefusedError(f"{target} cannot be gone back to: {reason}. Nothing was changed.")
