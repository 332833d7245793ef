"""What is done to hosts outside a rollout: pruning, unlocking, maintenance, draining."""

from __future__ import annotations

from typing import Any

from fabfile.environment import Environment
from fabfile.errors import RefusedError
from fabfile.fleet import AnswerError, Fleet, performed
from fabfile.lease import Claim, holding
from fabfile.remote import Remote


def prune(environment: Environment, keep: int, wait: float) -> dict[str, list[str]]:
    """The releases removed, by host. keep: how many stay on each."""
    if not 1 <= keep <= 50:
        raise RefusedError(f"--keep {keep} is not a number from 1 to 50. Nothing was changed.")
    with Fleet(environment) as fleet:
        fleet.require_all()
        with holding(fleet, Claim(environment.name), wait) as (lease, _):
            words = ["prune", f"--keep={keep}", *lease.words]
            answers = fleet.each(lambda remote: performed(remote, words, seconds=120)[0])
    return {name: list(answer.result["removed"]) for name, answer in answers.items()}


def unlock(environment: Environment) -> dict[str, Any] | None:
    """Who held the lease that was ended, or None."""
    with Fleet(environment) as fleet:
        if environment.app_hosts[0].name in fleet.unreachable:
            raise fleet.unreachable[environment.app_hosts[0].name]
        (answer,) = performed(fleet.first, ["lease", "break"])
        return answer.result.get("broken")


def maintenance(environment: Environment, on: bool, message: str) -> None:
    """Answer the public with a 503 and the message on every app host, or with the service again."""
    words = ["maintenance", "on" if on else "off", *([f"--message={message}"] if on and message else [])]
    with Fleet(environment) as fleet:
        fleet.require_all()
        fleet.each(lambda remote: performed(remote, words))


def drain(environment: Environment, host: str, on: bool) -> None:
    """Take one app host out of the edge's choice, or put it back. Raises RefusedError when it is the only one."""
    if on and len(environment.app_hosts) == 1:
        raise RefusedError(
            f"{host} is the only app host of {environment.name}: drained, nothing would be served. "
            f"To say so to clients: fab maintenance --on --env {environment.name}. Nothing was changed."
        )
    others = [each.name for each in environment.app_hosts if each.name != host]
    if len(others) == len(environment.app_hosts):
        raise RefusedError(f"{host} is no app host of {environment.name}; {', '.join(others)} are.")
    with Fleet(environment, without=others) as fleet:
        fleet.require_all()
        performed(fleet.first, ["drain" if on else "undrain"])


def audit(environment: Environment, lines: int, verify: bool) -> dict[str, Any]:
    """The newest records by host; or with verify what each host says of its chain: whole, or the first altered line."""
    words = ["journal", "--verify"] if verify else ["journal", f"--lines={lines}"]
    with Fleet(environment) as fleet:
        fleet.require_all()
        return dict(fleet.attempt(lambda remote: _journal(remote, words)))


def _journal(remote: Remote, words: list[str]) -> dict[str, Any]:
    answer = remote.perform(words)[0]
    if not answer.ok:
        raise AnswerError(remote.name, answer)
    return answer.result
