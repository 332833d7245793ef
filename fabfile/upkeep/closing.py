"""Who may deploy, and which releases stay: locking, unlocking, marking, pruning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fabfile.errors import FabError, LockedError, RefusedError
from fabfile.hosts.environment import Environment
from fabfile.hosts.fleet import Fleet, performed, refusal
from fabfile.turn import controller
from fabfile.turn.lease import Claim, describe, holding


def lock(environment: Environment, reason: str, hours: int) -> str:
    """Until when everybody is kept out. Raises LockedError when somebody deploys now."""
    claim = Claim(environment.name, reason=reason)
    with Fleet(environment) as fleet:
        fleet.require_all()
        (answer,) = fleet.first.perform(claim.words(seconds=hours * 3600))
    if answer.code == "lease-held":
        raise LockedError(describe(environment.name, answer.details, 0))
    if not answer.ok:
        raise refusal(fleet.first.name, answer)
    return str(answer.result["expires"])


def leases(environment: Environment) -> dict[str, dict[str, Any]]:
    """The leases that are held, by host: the first app host's as a rule, another's after a deploy without that one."""
    with Fleet(environment) as fleet:
        if not fleet.remotes:
            fleet.require_all()
        found = fleet.each(lambda remote: performed(remote, ["status"])[0].result.get("lease"))
    return {name: dict(held) for name, held in found.items() if held and held.get("state") != "broken"}


def whose(host: str, held: Mapping[str, Any]) -> str:
    """Whose lease it is, and whether that process lives, in sentences."""
    if held.get("freeze"):
        return f"On {host}: {held['holder']} keeps everybody out since {held['since']}: {held['freeze']}."
    life = controller.life(str(held.get("process", "")), str(held.get("machine") or ""))
    return (
        f"On {host}: {held['holder']}, `{held['command']}` as process {held['process']} since {held['since']}, last "
        f"heard of {held.get('idle', 0):.0f} s ago. {life}"
    )


def unlock(environment: Environment, held: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """End these leases, and no others that came meanwhile. Returns the hosts on which one was ended."""
    if not held:
        return []
    with Fleet(environment, [host.name for host in environment.app_hosts if host.name not in held]) as fleet:
        fleet.require_all()
        ended = fleet.each(
            lambda remote: performed(remote, ["lease", "break", f"--fence={held[remote.name]['fence']}"])[0]
        )
    return [name for name, answer in ended.items() if answer.result.get("broken")]


def mark_bad(environment: Environment, release: str, reason: str, without: Sequence[str]) -> list[str]:
    """A line a host. Raises FabError when a host that has it could not mark it."""
    words = ["mark-bad", release, *([f"--reason={reason}"] if reason else ["--clear"])]
    with Fleet(environment, without) as fleet:
        fleet.require_all()
        found = fleet.each(lambda remote: performed(remote, ["list", "--brief"])[0].result["releases"])
        having = [
            remote
            for remote in fleet.remotes
            if release in {row["release"] for row in found[remote.name] if row["state"] != "half-built"}
        ]
        if not having:
            raise RefusedError(f"No app host has {release}. Nothing was changed. Type: fab releases")
        outcomes = fleet.attempt(lambda remote: performed(remote, words)[0], having)
    said = f"is marked bad: {reason}" if reason else "is not marked bad"
    failed = [value for value in outcomes.values() if isinstance(value, FabError)]
    if failed:
        raise FabError(
            "\n".join([*map(str, failed), f"Where it went well, {release} {said}. Type it again."])
        )
    return [f"{name}: {release} {said}" for name in outcomes]


def prune(
    environment: Environment, keep: int, wait: float, without: Sequence[str] = ()
) -> dict[str, list[str]]:
    """The releases removed, by host. keep: how many stay on each."""
    if not 1 <= keep <= 50:
        raise RefusedError(f"--keep {keep} is not a number from 1 to 50. Nothing was changed.")
    with Fleet(environment, without) as fleet:
        fleet.require_all()
        with holding(fleet, Claim(environment.name), wait) as (lease, _):
            words = ["prune", f"--keep={keep}", *lease.words]
            answers = fleet.each(lambda remote: performed(remote, words, seconds=120)[0])
    return {name: list(answer.result["removed"]) for name, answer in answers.items()}
