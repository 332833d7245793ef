"""`fab recover`: hosts that a broken-off rollout left apart serve one release again, with nothing left behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fabfile import record, state, wheels
from fabfile.bundle import APP, PROJECT, Bundle
from fabfile.environment import Environment
from fabfile.errors import RefusedError
from fabfile.fleet import Fleet, performed
from fabfile.lease import Claim, Lease, acquire, beating
from fabfile.probe import Probe
from fabfile.remote import Remote
from fabfile.report import Report
from fabfile.rollout import GRACE_SECONDS, Rollout, batches
from fabfile.shipping import ship
from fabfile.state import HostState, States

BUNDLES = PROJECT / "build/bundles"


def recover(
    environment: Environment, report: Report, to: str = "", wait: float = 0.0, without: Sequence[str] = ()
) -> dict[str, HostState]:
    """Bring every host to one release. to: which, else the one found to be right. Raises FabError."""
    with Fleet(environment, without) as fleet:
        fleet.require_all()
        lease, answers = acquire(fleet.first, Claim(environment.name), wait, *state.READING)
        with beating(lease):
            states = state.read_others(fleet, answers)
            return converge(fleet, lease, report, environment, states, to)


def converge(
    fleet: Fleet, lease: Lease, report: Report, environment: Environment, states: States, to: str = ""
) -> dict[str, HostState]:
    """Under a lease that is held: one release everywhere, no orphan. Returns the states afterwards."""
    report.step("recover", state.unequal(states) or "every host by itself")
    target = to or right_release(states)
    words = ["recover", *lease.words]
    fleet.each(lambda remote: performed(remote, words, *state.READING, seconds=GRACE_SECONDS * 4))
    if target:
        _agree(fleet, lease, report, environment, states, target)
    return state.read(fleet)


def right_release(states: States) -> str:
    """The release that all hosts should serve: what they agree on; else what a rollout that never ended had begun
    with; else the newest that is verified everywhere; else what most of them serve. "" when nothing is live."""
    live = [found.live for found in states.values() if found.live]
    if not live:
        return ""
    if len(set(live)) == 1 and len(live) == len(states):
        return live[0]
    for found in states.values():
        begun = found.status.get("last_record") or {}
        before = set((begun.get("details") or {}).get("previous", {}).values()) - {None}
        if begun.get("kind", "").endswith(".begin") and len(before) == 1:
            return str(before.pop())
    verified = [name for name in set(live) if all(_verified(found, name) for found in states.values())]
    return max(verified) if verified else Counter(live).most_common(1)[0][0]


def _verified(found: HostState, release: str) -> bool:
    row = found.releases.get(release) or {}
    return bool(row.get("verified")) and not row.get("bad")


def _agree(
    fleet: Fleet, lease: Lease, report: Report, environment: Environment, states: States, target: str
) -> None:
    behind = [remote for remote in fleet.remotes if states[remote.name].live != target]
    if not behind:
        return
    missing = [
        remote for remote in behind if states[remote.name].state_of(target) in ("missing", "half-built")
    ]
    if missing:
        _bring(fleet, lease, report, missing, target)
    previous = {name: found.live for name, found in states.items()}
    rollout = Rollout(fleet, lease, report, environment.policy, target, previous)
    with (
        Probe(environment.public) as probe,
        record.around(fleet, lease, "recover", target, probe, previous=previous) as last,
    ):
        rollout.prove()
        rollout.move(batches(behind, "", canary=False), bake=0)
        rollout.settle(environment.policy.warm, last(), ends=False)


def _bring(fleet: Fleet, lease: Lease, report: Report, missing: list[Remote], target: str) -> None:
    path = BUNDLES / f"{APP}-{target}.tar.gz"
    names = ", ".join(remote.name for remote in missing)
    if not path.is_file():
        raise RefusedError(
            f"{names} should serve {target}, which is not there, and its bundle is not on this controller either "
            f"({path}). Nothing was switched. Fetch the bundle from where it was built, or deploy a release anew."
        )
    bundle = Bundle(path, wheels.sha256(path), target)
    report.step("build", f"{target} on {names}")

    fleet.each(lambda remote: ship(remote, bundle, lease, report), missing)
