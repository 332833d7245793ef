"""`fab patch`: updates of packages, and the reboots they ask for."""

from __future__ import annotations

import json as encoding
from dataclasses import asdict

from invoke import Context, task

from fabfile import report
from fabfile.errors import RefusedError
from fabfile.tasks import running
from fabfile.tasks.rollouts import ENV, JSON, TICKET, WAIT, YES


@task(
    help={
        "env": ENV,
        "plan": "say what waits where, how long it takes, and what comes in a window; install nothing",
        "window": "also what customers notice: PostgreSQL's restart, and reboots of hosts that nobody stands in for",
        "yes": YES,
        "ticket": TICKET,
        "wait": WAIT,
        "without": "hosts to leave out, separated by commas",
        "json": JSON,
    }
)
def patch(
    _context: Context,
    env: str = "",
    plan: bool = False,
    window: bool = False,
    yes: bool = False,
    ticket: str = "",
    wait: int = 0,
    without: str = "",
    json: bool = False,
) -> None:
    """Install updates and reboot, one drained host after the other; what customers would notice only with --window."""
    with running.sentences():
        running.checked("a ticket", ticket, running.TICKET, "OPS-123")
        if plan and window:
            raise RefusedError(
                "--plan says what a window would do, too: leave --window out. Nothing was changed."
            )
        apart = running.hosts(without)
        doing = "Patching, with restarts that customers notice," if window else "Patching"
        environment = running.chosen(env, yes or plan, doing)
        from fabfile.upkeep.patching import patch as patching

        if plan:
            found = patching.foreseen(environment, apart)
            print(encoding.dumps(found.as_object()) if json else found.text())
            return
        with report.of([host.name for host in environment.app_hosts], apart=json) as told:
            done = patching.patch(environment, told, window, ticket, float(wait), apart)
        _say(environment.name, done, json)


def _say(name: str, done: object, as_json: bool) -> None:
    from fabfile.upkeep.patching.patch import Patched

    assert isinstance(done, Patched)
    if as_json:
        print(encoding.dumps({"version": 1, "environment": name, **asdict(done)}))
        return
    seen = done.seen
    watched = f"lost={seen['lost']} max_gap_ms={seen['max_gap_ms']} of {seen['requests']} requests on the public path."
    rebooted = f" Rebooted: {', '.join(done.rebooted)}." if done.rebooted else ""
    print(
        f"{name} patched: {', '.join(done.hosts) or 'nothing waited'}, in {done.seconds:.0f} s.{rebooted} "
        f"{watched if seen['requests'] else 'The public path was not watched.'}"
    )
    if done.left:
        print("\n".join(["Still waits:", *(f"  {said}" for said in done.left)]))
