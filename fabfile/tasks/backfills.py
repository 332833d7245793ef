"""`fab backfill-status`, `backfill-run`, `backfill-pause`, `backfill-resume`: changes to many rows, in batches."""

from __future__ import annotations

import re

from invoke import Context, task

from fabfile.errors import RefusedError
from fabfile.tasks import running
from fabfile.tasks.database_toolbox import JSON
from fabfile.tasks.rollouts import ENV, YES

# As slipway's own.
NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
NAMED = "one that the live release declares: fab backfill-status"
HELP = {
    "name": NAMED,
    "env": ENV,
    "watch": "until it has ended (--no-watch: leave it to itself)",
    "yes": YES,
}


@task(help={"env": ENV, "json": JSON})
def backfill_status(_context: Context, env: str = "", json: bool = False) -> None:
    """The live release's backfills: how far, how fast, since when, running, paused, stopped or done."""
    with running.sentences():
        environment = running.chosen(env)
        from fabfile.database.screen import terminal
        from fabfile.database.toolbox import screen
        from fabfile.migration import backfill

        found = backfill.status(environment)
        if json:
            print(backfill.as_json(found))
            return
        out = terminal.console()
        out.print(screen.tables_of(backfill.as_reading(environment, found), out))


@task(help=HELP)
def backfill_run(_context: Context, name: str, env: str = "", watch: bool = True, yes: bool = False) -> None:
    """Change a backfill's rows, from where it was, on the first app host; a cut connection does not end it."""
    _begin(name, env, watch, yes, resume=False)


@task(help=HELP)
def backfill_resume(
    _context: Context, name: str, env: str = "", watch: bool = True, yes: bool = False
) -> None:
    """Take a pause back and go on from where it was."""
    _begin(name, env, watch, yes, resume=True)


@task(help={"name": NAMED, "env": ENV, "yes": YES})
def backfill_pause(_context: Context, name: str, env: str = "", yes: bool = False) -> None:
    """Pause a backfill after the batch it is in; `fab backfill-resume` continues it."""
    with running.sentences():
        _checked(name)
        environment = running.chosen(env, yes, "Pausing a backfill")
        from fabfile.migration import backfill

        row = backfill.pause(environment, name)
        done = f"{row.get('rows_done', 0)} rows are done and stay so"
        print(
            f"{name} is paused; {done}. To let it go on: fab backfill-resume {name} --env {environment.name}"
        )


def _begin(name: str, env: str, watch: bool, yes: bool, resume: bool) -> None:
    with running.sentences():
        _checked(name)
        environment = running.chosen(env, yes, "Changing rows")
        from fabfile import report
        from fabfile.migration import backfill

        with report.of([environment.app_hosts[0].name]) as told:
            said = backfill.run(environment, told, name, resume, watch)
        print(said)


def _checked(name: str) -> None:
    if not NAME.fullmatch(name):
        raise RefusedError(
            f"{name!r} is not the name of a backfill; one looks like fill_order_totals. fab backfill-status shows "
            "those there are. Nothing was changed."
        )
