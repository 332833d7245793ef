"""`fab recover`: hosts that a broken-off rollout left apart serve one release again, with nothing left behind."""

from __future__ import annotations

from collections.abc import Sequence

from fabfile import schema
from fabfile.bundle import signing, wheels
from fabfile.bundle.archive import PROJECT, Bundle, file_of
from fabfile.errors import RefusedError
from fabfile.hosts import state
from fabfile.hosts.connection import Remote
from fabfile.hosts.environment import Environment
from fabfile.hosts.fleet import Fleet, batches, performed
from fabfile.hosts.state import HostState, States
from fabfile.interruption import in_order, shielded
from fabfile.report import Report
from fabfile.rollout import agreement
from fabfile.rollout.agreement import Choice, choose
from fabfile.rollout.path import Rollout
from fabfile.rollout.shipping import ship
from fabfile.traffic.probe import Probe
from fabfile.turn import record
from fabfile.turn.lease import Claim, Lease, holding
from fabfile.turn.steps import GRACE_SECONDS

BUNDLES = PROJECT / "build/bundles"


def plan(environment: Environment, without: Sequence[str] = ()) -> tuple[Choice, States]:
    """What a recovery would agree on now, and the states it would begin with. Nothing is changed."""
    with Fleet(environment, without) as fleet:
        fleet.require_all()
        states = state.read(fleet)
    return choose(states), states


def plan_text(choice: Choice, states: States) -> str:
    """What a recovery would do, for a person to agree to."""
    lines = [f"{name} serves {found.live or 'nothing'}" for name, found in states.items()]
    if not choice.release:
        return "\n".join([*lines, "There is nothing to agree on; what was left behind is tidied up."])
    return "\n".join([*lines, f"All would serve {choice.release}: {choice.why}."])


def recover(
    environment: Environment, report: Report, to: str = "", wait: float = 0.0, without: Sequence[str] = ()
) -> dict[str, HostState]:
    """Bring every host to one release. to: which, else the one found to be right. Raises FabError."""
    with in_order(), Fleet(environment, without) as fleet:
        fleet.require_all()
        with holding(fleet, Claim(environment.name), wait) as (lease, states):
            return converge(fleet, lease, report, environment, states, to)


def converge(
    fleet: Fleet, lease: Lease, report: Report, environment: Environment, states: States, to: str = ""
) -> dict[str, HostState]:
    """Under a lease that is held: one release everywhere, no orphan. Returns the states afterwards."""
    choice = Choice(to, "it was asked for") if to else choose(states)
    report.step("recover", state.unequal(states) or "every host by itself")
    if choice.release and state.unequal(states):
        report.step("agree", f"on {choice.release}: {choice.why}")
    behind = _behind(fleet, states, choice.release)
    if behind:
        _check_schema(states, choice.release)
    commands = [["recover", *lease.words]]
    if agreement.left_open(states) and not behind:
        # They agree already; whoever reads the records next is not to take that rollout for one that goes on.
        commands.append([*record.words("recover.end", choice.release, result="ok"), *lease.words])
    with shielded():
        fleet.each(lambda remote: performed(remote, *commands, seconds=GRACE_SECONDS * 4))
    if choice.release:
        _agree(fleet, lease, report, environment, states, choice.release)
    return state.read(fleet)


def _behind(fleet: Fleet, states: States, target: str) -> list[Remote]:
    return [remote for remote in fleet.remotes if states[remote.name].live != target]


def _check_schema(states: States, target: str) -> None:
    """Raise RefusedError when the release cannot run on the schema that the database has."""
    rows = [found.releases[target] for found in states.values() if target in found.releases]
    chains = [schema.of_manifest(row) for found in states.values() for row in found.releases.values()]
    applied = next((found.schema_applied for found in states.values() if found.schema_applied), None)
    if rows and (reason := schema.outside(rows[0].get("schema_head"), applied, chains)):
        raise RefusedError(
            f"The hosts should agree on {target}, which cannot be: {reason}. Nothing was changed. "
            "To agree on another one: fab recover --to RELEASE"
        )


def _agree(
    fleet: Fleet, lease: Lease, report: Report, environment: Environment, states: States, target: str
) -> None:
    behind = _behind(fleet, states, target)
    if not behind:
        return
    missing = [
        remote for remote in behind if states[remote.name].state_of(target) in ("missing", "half-built")
    ]
    if missing:
        _bring(fleet, lease, report, missing, target)
    previous = {name: found.live for name, found in states.items()}
    with (
        Probe(environment.public) as probe,
        record.around(fleet, lease, "recover", target, probe, previous=previous) as last,
    ):
        rollout = Rollout(fleet, lease, report, environment.policy, target, previous, probe)
        rollout.prove()
        rollout.move(batches(behind, "", canary=False), bake=0)
        rollout.settle(environment.policy.warm, last(), ends=False)


def _bring(fleet: Fleet, lease: Lease, report: Report, missing: list[Remote], target: str) -> None:
    path = file_of(BUNDLES, fleet.environment.app, target)
    names = ", ".join(remote.name for remote in missing)
    if not path.is_file():
        raise RefusedError(
            f"{names} should serve {target}, which is not there, and its bundle is not on this controller either "
            f"({path}). No traffic was moved. Fetch the bundle from where it was built, or deploy a release anew."
        )
    bundle = signing.signed(
        fleet.environment.signing, Bundle(path, wheels.sha256(path), target, fleet.environment.app)
    )
    report.step("build", f"{target} on {names}")

    fleet.each(lambda remote: ship(remote, bundle, lease, report), missing)
