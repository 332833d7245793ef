"""`fab restart`, `maintenance`, `drain`, `undrain`."""

from __future__ import annotations

from invoke import Context, task

from fabfile import report
from fabfile.errors import RefusedError
from fabfile.tasks import running
from fabfile.tasks.rollouts import ENV, TICKET, WAIT, WITHOUT, YES, say

HOST = "the app host"


@task(help={"env": ENV, "yes": YES, "ticket": TICKET, "wait": WAIT, "without": WITHOUT})
def restart(
    _context: Context, env: str = "", yes: bool = False, ticket: str = "", wait: int = 0, without: str = ""
) -> None:
    """Start the live release anew, with the settings of now, one app host after the other; no request is lost."""
    with running.sentences():
        running.checked("a ticket", ticket, running.TICKET, "OPS-123")
        apart = running.hosts(without)
        environment = running.chosen(env, yes, "Restarting")
        from fabfile.rollout.restart import restart as restarting

        with report.of([host.name for host in environment.app_hosts]) as told:
            moved = restarting(environment, told, ticket, float(wait), apart)
        say(environment.name, "restarted", moved, as_json=False)


@task(
    help={
        "env": ENV,
        "on": "answer everybody 503, with the message",
        "off": "serve again",
        "message": "what clients are told",
        "yes": YES,
    }
)
def maintenance(
    _context: Context,
    env: str = "",
    on: bool = False,
    off: bool = False,
    message: str = "",
    yes: bool = False,
) -> None:
    """Answer the public with a 503 that says so, without stopping or reloading anything."""
    with running.sentences():
        if on == off:
            raise RefusedError("Say --on or --off. Nothing was changed.")
        environment = running.chosen(env, yes, "Maintenance")
        from fabfile.upkeep.maintenance import maintenance as switching

        switching(environment, on, message)
        print(
            f"{environment.name} {'is in maintenance: everybody is answered 503' if on else 'serves again'}."
        )


@task(help={"env": ENV, "host": HOST, "yes": YES})
def drain(_context: Context, host: str, env: str = "", yes: bool = False) -> None:
    """Stop sending new requests to one app host; requests it has are finished."""
    _set(env, host, yes, on=True)


@task(help={"env": ENV, "host": HOST, "yes": YES})
def undrain(_context: Context, host: str, env: str = "", yes: bool = False) -> None:
    """Send requests to a drained app host again."""
    _set(env, host, yes, on=False)


def _set(env: str, host: str, yes: bool, on: bool) -> None:
    with running.sentences():
        (name,) = running.hosts(host) or [""]
        environment = running.chosen(env, yes, "Draining" if on else "Undraining")
        from fabfile.upkeep.maintenance import drain as setting

        setting(environment, name, on)
        print(
            f"{name} takes no new requests; those it has are finished."
            if on
            else f"{name} takes requests again."
        )
