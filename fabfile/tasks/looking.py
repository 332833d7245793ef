"""`fab releases`, `status`, `logs`, `audit`, `diagnose`: nothing is changed by these."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from invoke import Context, Exit, task

from fabfile.errors import RefusedError
from fabfile.tasks import running
from fabfile.tasks.rollouts import ENV


@task(help={"env": ENV, "json": "one JSON object instead of a table"})
def releases(_context: Context, env: str = "", json: bool = False) -> None:
    """List the releases of all app hosts: age, author, state, schema; what is live, warm or bad."""
    with running.sentences():
        environment = running.chosen(env)
        from fabfile.upkeep import overview

        states, unreachable = overview.read(environment)
        overview.show_releases(states, unreachable, json)
        _end(unreachable)


@task(help={"env": ENV, "json": "one JSON object instead of lines"})
def status(_context: Context, env: str = "", json: bool = False) -> None:
    """Show who deploys, what customers get, one line a host, and all that is wrong."""
    with running.sentences():
        environment = running.chosen(env)
        from fabfile.upkeep import overview

        if overview.show_status(overview.look(environment), json):
            raise Exit(code=3)


@task(
    help={
        "env": ENV,
        "follow": "go on until interrupted",
        "request_id": "only lines of this request",
        "lines": "how many",
    }
)
def logs(
    _context: Context, env: str = "", follow: bool = False, request_id: str = "", lines: int = 100
) -> None:
    """Show the service's log lines of all app hosts, oldest first."""
    with running.sentences():
        running.checked("a request id", request_id, running.REQUEST_ID, "01910b2e-93a0-7c3e")
        if not 1 <= lines <= 10_000:
            raise RefusedError(f"--lines {lines} is not a number from 1 to 10000.")
        environment = running.chosen(env)
        from fabfile.hosts import logs as reading

        _end(reading.show(environment, lines, request_id, follow))


@task(
    help={
        "env": ENV,
        "lines": "how many of each host",
        "since": "not before: 2h, 3d, 2026-11-23 or 2026-11-23T02:30 (UTC)",
        "all": "every step of every host, not rollouts, migrations and leases alone",
        "verify": "check that no line was altered or removed",
        "json": "one JSON object instead of lines",
    }
)
def audit(
    _context: Context,
    env: str = "",
    lines: int = 20,
    since: str = "",
    all: bool = False,
    verify: bool = False,
    json: bool = False,
) -> None:
    """Show who rolled out what, when, and what customers felt, from the hosts' own chained records."""
    with running.sentences():
        running.checked("a moment", since, running.SINCE, "2h, 2026-11-23 or 2026-11-23T02:30")
        if not 1 <= lines <= 10_000:
            raise RefusedError(f"--lines {lines} is not a number from 1 to 10000.")
        environment = running.chosen(env)
        from fabfile.upkeep import audit as reading

        try:
            wish = reading.Wish(lines, since, all, verify)
            reading.moment(since)
        except ValueError as failure:
            raise RefusedError(f"{since!r} is no moment: {failure}.") from None
        found, missing = reading.read(environment, wish)
        reading.show(found, wish, json)
        _end(missing)


@task(help={"env": ENV, "output": "where the archive is written"})
def diagnose(_context: Context, env: str = "", output: str = "") -> None:
    """Collect what an incident needs, with secrets blacked out, into one archive."""
    with running.sentences():
        environment = running.chosen(env)
        from fabfile.upkeep.diagnose import diagnose as collecting

        print(collecting(environment, output))


def _end(unreachable: Mapping[str, Exception]) -> None:
    """Name who is missing in what was shown."""
    for failure in unreachable.values():
        print(failure, file=sys.stderr)
    if unreachable:
        raise Exit(code=3)
