"""What is done to hosts outside a rollout: maintenance, draining."""

from __future__ import annotations

from fabfile.errors import FabError, RefusedError, UnfinishedError
from fabfile.hosts.environment import Environment
from fabfile.hosts.fleet import Fleet, performed


def maintenance(environment: Environment, on: bool, message: str) -> None:
    """Answer the public with a 503 and the message on every app host, or with the service again.

    What can be reached is set. Raises UnfinishedError that names who could not be.
    """
    words = ["maintenance", "on" if on else "off", *([f"--message={message}"] if on and message else [])]
    with Fleet(environment) as fleet:
        outcomes = fleet.attempt(lambda remote: performed(remote, words))
        missing = fleet.unreachable | {
            name: value for name, value in outcomes.items() if isinstance(value, FabError)
        }
    if missing:
        done = [name for name in outcomes if name not in missing]
        told = "\n".join(str(value) for value in missing.values())
        raise UnfinishedError(
            f"{told}\nmaintenance {words[1]} was set on {', '.join(done) or 'no host'}, and could not be set on "
            f"{', '.join(missing)}, which may still answer customers. Type it again when that is back."
        )


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
