"""`backfill run|pause|resume NAME`, `backfill status [NAME]`: rows changed in batches, as the service's role."""

import json
import os
import time
from argparse import Namespace
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, text

from slipway_migrator import address, backfill, project, variables
from slipway_migrator.address import Settings
from slipway_migrator.backfill import Backfill, Step
from slipway_migrator.drivers import connected, is_the_databases, is_unreachable, reason, sqlstate
from slipway_migrator.errors import BackfillError, CommandError
from slipway_migrator.lines import say, speak_for
from slipway_migrator.project import Project
from slipway_migrator.session import SET
from slipway_migrator.standing import standing

TOLD_EVERY = 5.0
EX_FAILED = 1
# As argparse ends for a wrong word.
EX_USAGE = 2
EX_UNAVAILABLE = 69
EX_TEMPFAIL = 75

T = TypeVar("T")


class Progress:
    """Tells of the batches, not more often than every five seconds."""

    def __init__(self) -> None:
        self._told = float("-inf")

    def __call__(self, step: Step) -> None:
        if time.monotonic() - self._told < TOLD_EVERY:
            return
        self._told = time.monotonic()
        say(
            "backfill_progress",
            rows_done=step.rows_done,
            rows_per_second=round(step.rate),
            seconds_left=None if step.seconds_left is None else round(step.seconds_left),
            lock_waits=step.load.waiting,
            active_sessions=step.load.active,
            rested_seconds=round(step.rested, 2),
        )


def run(chosen: Namespace) -> int:
    """Run a backfill, say how far it is, pause it after its present batch, or let it go on; print its row."""
    own = project.load(chosen.project)
    declared: dict[str, Backfill] = dict(project.declared(own))
    if not chosen.name:
        if chosen.do != "status":
            raise CommandError(EX_USAGE, f"Which backfill? backfill {chosen.do} NAME. Nothing was changed.")
        rows = _asked(own, "The status of the backfills", lambda link: standing(link, declared))
        print(json.dumps({"backfills": rows}, default=str))
        return 0
    if chosen.name not in declared:
        known = ", ".join(sorted(declared)) or "none"
        sentence = (
            f"There is no backfill {chosen.name!r} in this release; it declares {known}. Nothing was changed."
        )
        raise CommandError(EX_FAILED, sentence)
    one = declared[chosen.name]
    row = _asked(own, f"The backfill {one.name}", lambda link: _perform(link, chosen.do, one))
    print(json.dumps(row, default=str))
    return 0


def _perform(connection: Connection, do: str, one: Backfill) -> dict[str, Any]:
    if do in ("pause", "resume"):
        backfill.set_paused(connection, one.name, do == "pause")
    if do in ("run", "resume"):
        ended = backfill.run(connection, one, Progress())
        if ended == "paused" and do == "run":
            say("backfill_paused", "warning", go_on=f"backfill resume {one.name}")
    return backfill.status(connection, one.name) or {"name": one.name, "running": False}


def _asked(own: Project, what: str, work: Callable[[Connection], T]) -> T:
    """work(connection), as the service's role. Raises CommandError with what the database refuses."""
    settings = address.read(own, "rows")
    url = address.url_of(settings, address.driver_of(own, None))
    os.environ.update(variables.exported(settings, url, own))
    speak_for(settings.release)
    try:
        return connected(address.engine_of(url), lambda link: work(_prepared(link, own, settings)))
    except BackfillError as error:
        raise CommandError(EX_TEMPFAIL, str(error)) from None
    except Exception as error:
        if not is_the_databases(error):
            raise
        raise _refused(what, settings, error) from None


def _prepared(connection: Connection, own: Project, settings: Settings) -> Connection:
    named = {
        "application_name": f"{own.name}-backfill/{settings.release}"[:63],
        "search_path": settings.schema,
    }
    with connection.begin():
        for name, value in named.items():
            connection.execute(SET, {"name": name, "value": value})
        there = connection.scalar(text("SELECT to_regclass('backfills')"))
    if there is None:
        raise CommandError(
            EX_FAILED,
            f"The {settings.where} does not keep how far backfills are: a migration to this release's last revision "
            "does that. Nothing was changed.",
        )
    return connection


def _refused(what: str, settings: Settings, error: Exception) -> CommandError:
    if is_unreachable(error):
        return CommandError(
            EX_UNAVAILABLE, f"The {settings.where} cannot be reached or refuses the role: {reason(error)}"
        )
    said = f"SQLSTATE {sqlstate(error)}: {reason(error)}"
    return CommandError(EX_FAILED, f"{what} failed in the {settings.where}. {said}")
