"""`fab rollback`: an earlier release is live again on every host, by the same path as a deploy, without a build."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fabfile import record, schema, state
from fabfile.environment import Environment
from fabfile.errors import RefusedError
from fabfile.fleet import Fleet
from fabfile.lease import Claim, acquire, beating
from fabfile.probe import Probe
from fabfile.report import Report
from fabfile.rollout import Rollout, batches, wait_for_the_public
from fabfile.state import HostState

CONVERGE_SECONDS = 5.0
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
    """Go back to a release id, else to the newest verified one before the live one. Raises FabError."""
    began = time.monotonic()
    with Probe(environment.public) as probe, Fleet(environment, without) as fleet:
        fleet.require_all()
        fleet.prepare(CALLS if len(fleet.remotes) > 1 else CALLS - 1)
        lease, answers = acquire(fleet.first, Claim(environment.name, ticket), wait, *state.READING)
        with beating(lease):
            states = state.read_others(fleet, answers)
            target = state.rollback_target(states, to)
            previous = {name: found.live for name, found in states.items()}
            _check(states, target, previous)
            report.step("rollback", f"to {target}")
            rollout = Rollout(fleet, lease, report, environment.policy, target, previous)
            begin = record.words("rollback.begin", target, previous=previous, ticket=ticket)
            with record.around(fleet, lease, "rollback", target, probe, announce=False) as last:
                if len(fleet.remotes) == 1:
                    rollout.prove_and_move(begin)
                else:
                    rollout.prove(begin)
                    rollout.move(batches(fleet.remotes, "", canary=False), bake=0)
                wait_for_the_public(probe, target, CONVERGE_SECONDS)
                rollout.settle(environment.policy.warm, last())
    return Moved(target, previous, time.monotonic() - began, probe.seen.as_record())


def _check(states: dict[str, HostState], target: str, previous: dict[str, str | None]) -> None:
    if set(previous.values()) == {target}:
        raise RefusedError(f"{target} is live on every host already. Nothing was changed.")
    chains = [schema.of_manifest(row) for found in states.values() for row in found.releases.values()]
    for found in states.values():
        head = found.releases[target].get("schema_head")
        reason = schema.outside(str(head), found.schema_applied, chains)
        if reason:
            raise RefusedError(f"{target} cannot be gone back to: {reason}. Nothing was changed.")
