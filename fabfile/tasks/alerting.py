"""`fab alerts`, `fab silence`: what the monitoring host has to say, for whoever was woken."""

from __future__ import annotations

import re
import time

from invoke import Context, Exit, task

from fabfile.errors import FabError, RefusedError
from fabfile.tasks import running
from fabfile.tasks.database import UnlookedError
from fabfile.tasks.rollouts import ENV, YES

NAME = re.compile(r"[A-Z][A-Za-z]{1,60}")
IDENTITY = re.compile(r"[0-9a-f-]{36}")


@task(help={"env": ENV, "json": "one JSON object instead of a screen"})
def alerts(_context: Context, env: str = "", json: bool = False) -> None:
    """What fires, since when, worst first, with what to type; exits 0 ok, 1 warning, 2 critical, 3 not known."""
    with running.sentences():
        try:
            environment = running.chosen(env)
            from fabfile.upkeep import alerts as told
            from fabfile.upkeep import watcher

            found = told.read(watcher.of(environment.name))
        except FabError as failure:
            # 1 and 2 are levels here.
            raise UnlookedError(str(failure)) from None
        print(told.encoded(found) if json else "\n".join(told.lines(found, time.time())))
    if found.exit_code:
        raise Exit(code=found.exit_code)


@task(
    help={
        "alert": "the alert's name, as fab alerts shows it",
        "env": ENV,
        "host": "of this host alone",
        "reason": "why, for whoever comes next",
        "lasting": "for how long, such as 30m, 2h or 3d",
        "end": "end the silence of this id instead",
        "yes": YES,
    },
)
def silence(
    _context: Context,
    alert: str = "",
    env: str = "",
    host: str = "",
    reason: str = "",
    lasting: str = "",
    end: str = "",
    yes: bool = False,
) -> None:
    """Have an alert that fires told to nobody for a time, with a reason; or end that."""
    with running.sentences():
        if bool(alert) == bool(end):
            raise RefusedError(
                "fab silence takes --alert and its name, or --end and an id. Type: fab alerts. Nothing was silenced."
            )
        running.checked("the name of an alert", alert, NAME, "ServiceDown")
        running.checked("the id of a silence", end, IDENTITY, "a long one that fab alerts shows")
        running.checked("a host", host, running.HOST, "app-1")
        environment = running.chosen(env, yes, "Ending a silence" if end else "Silencing an alert")
        from fabfile.upkeep import alerts as told
        from fabfile.upkeep import watcher

        who = watcher.of(environment.name)
        print(told.end(who, end) if end else told.silence(who, alert, reason, lasting, host))
