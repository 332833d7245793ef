"""What the app hosts serve and keep, read in one round trip; and which release a rollback would go to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fabfile.errors import FabError, RefusedError
from fabfile.hosts.connection import Answer, Remote
from fabfile.hosts.fleet import Fleet, HostsError, performed

# Brief: to add up the sizes is to visit every file of every release.
READING = (["status"], ["list", "--brief"])


@dataclass(frozen=True)
class HostState:
    """One host. releases: the rows of `slipway list`, by release id. status: what `slipway status` answered."""

    name: str
    status: dict[str, Any]
    releases: dict[str, dict[str, Any]]

    @property
    def live(self) -> str | None:
        live = self.status.get("live")
        return live["release"] if live else None

    @property
    def schema_applied(self) -> str | None:
        live = self.status.get("live")
        return live.get("schema_applied") if live else None

    def state_of(self, release: str) -> str:
        """live, warm, verified, staged, bad, half-built, or missing."""
        row = self.releases.get(release)
        return str(row["state"]) if row else "missing"


States = Mapping[str, HostState]


def of(name: str, answers: list[Answer]) -> HostState:
    """The state in the answers of READING."""
    status, listed = answers[-2].result, answers[-1].result
    return HostState(name, status, {row["release"]: row for row in listed["releases"]})


def read(fleet: Fleet) -> dict[str, HostState]:
    """The state of every host. Raises HostsError when one cannot say."""
    return fleet.each(_read)


def read_some(fleet: Fleet) -> tuple[dict[str, HostState], dict[str, FabError]]:
    """(The state of every host that answers, why the others do not), for who only reads. Raises when none answers."""
    if not fleet.remotes:
        fleet.require_all()
    outcomes = fleet.attempt(_read)
    missing = fleet.unreachable | {
        name: value for name, value in outcomes.items() if isinstance(value, FabError)
    }
    states = {name: value for name, value in outcomes.items() if isinstance(value, HostState)}
    if not states:
        raise HostsError(missing)
    return states, missing


def read_others(fleet: Fleet, answers: list[Answer]) -> dict[str, HostState]:
    """The state of every host, of which the first has answered already."""
    first = fleet.first
    others = [remote for remote in fleet.remotes if remote is not first]
    return {first.name: of(first.name, answers), **fleet.each(_read, others)}


def _read(remote: Remote) -> HostState:
    return of(remote.name, performed(remote, *READING))


def unequal(states: States) -> str:
    """A sentence that says so when the hosts do not serve the same release, else nothing."""
    if len({state.live for state in states.values()}) <= 1:
        return ""
    return "The hosts serve different releases: " + ", ".join(
        f"{name} {state.live or 'nothing'}" for name, state in states.items()
    )


def rollback_target(states: States, wanted: str = "") -> str:
    """The release to go back to: the one named, else the one that came live last before the live one, of those that
    are verified on every host and that nobody has gone back from already.

    Raises RefusedError that names what is in the way.
    """
    if wanted:
        _check_named(states, wanted)
        return wanted
    live = {state.live for state in states.values()} - {None}
    common = set.intersection(*(set(state.releases) for state in states.values())) - live
    candidates = [name for name in common if all(is_verified(state, name) for state in states.values())]
    orders = [list(state.status.get("before") or []) for state in states.values()]
    # A host that was away has seen fewer of them.
    ranks = {
        name: min((order.index(name) for order in orders if name in order), default=None)
        for name in candidates
    }
    came_live = {name: rank for name, rank in ranks.items() if rank is not None}
    if came_live:
        return min(came_live, key=lambda name: (came_live[name], name))
    # No journal goes back so far: by the time it was built, and never forward.
    newest_live = max((name for name in live if name), default="")
    older = [name for name in candidates if name < newest_live]
    if not older:
        raise RefusedError(
            "There is no release to go back to: none that was live before has been verified healthy on every host.\n"
            f"{_why_not(states, newest_live)}\nNothing was changed. `fab releases` shows what is there."
        )
    return max(older)


def is_verified(state: HostState, release: str) -> bool:
    """Whether it was settled once on that host and is not marked bad there."""
    row = state.releases.get(release) or {}
    return bool(row.get("verified")) and not row.get("bad")


def _check_named(states: States, release: str) -> None:
    for name, state in states.items():
        found = state.state_of(release)
        if found in ("missing", "half-built"):
            raise RefusedError(
                f"{release} is {found} on {name}, so it cannot be gone back to. Nothing was changed. "
                "`fab releases` shows what is there; `fab deploy --ref COMMIT` builds it anew."
            )
        if state.releases[release].get("bad"):
            reason = state.releases[release].get("bad_reason") or ""
            raise RefusedError(
                f"{release} is marked bad on {name}: {reason} Nothing was changed. "
                f"If you mean it: fab mark-bad --release {release} --clear, then again."
            )


def _why_not(states: States, live: str) -> str:
    lines = []
    for name, state in states.items():
        for release in sorted(state.releases, reverse=True):
            if release != live:
                found = state.state_of(release)
                lines.append(
                    f"  {name}: {release} is {found}{'' if is_verified(state, release) else ', never verified'}"
                )
    return "\n".join(lines) or "  No host has another release."
