"""`fab releases`, `status`, `logs`, `audit`, `diagnose`: nothing is changed by these."""

from __future__ import annotations

import sys

from invoke import Context, Exit, task

from fabfile.errors import RefusedError
from fabfile.tasks import running
from fabfile.tasks.rollouts import ENV


@task(help={"env": ENV, "json": "one JSON object instead of a table"})
def releases(_context: Context, env: str = "", json: bool = False) -> None:
    """The releases of all app hosts: age, author, state, schema; what is live, warm or bad."""
    with running.sentences():
        environment = running.chosen(env)
        from fabfile import overview

        states, unreachable = overview.read(environment)
        overview.show_releases(states, unreachable, json)
        _end(unreachable)


@task(help={"env": ENV, "json": "one JSON object instead of lines"})
def status(_context: Context, env: str = "", json: bool = False) -> None:
    """One line a host: live release, readiness, what is warm, lease, last rollout, and what is wrong."""
    with running.sentences():
        environment = running.chosen(env)
        from fabfile import overview

        states, unreachable = overview.read(environment)
        wrong = overview.show_status(environment, states, unreachable, json)
        if wrong:
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
    """The service's lines of all app hosts, oldest first."""
    with running.sentences():
        running.checked("a request id", request_id, running.REQUEST_ID, "01910b2e-93a0-7c3e")
        if not 1 <= lines <= 10_000:
            raise RefusedError(f"--lines {lines} is not a number from 1 to 10000.")
        environment = running.chosen(env)
        from fabfile import logs as reading

        reading.show(environment, lines, request_id, follow)


@task(
    help={"env": ENV, "lines": "how many of each host", "verify": "check that no line was altered or removed"}
)
def audit(_context: Context, env: str = "", lines: int = 20, verify: bool = False) -> None:
    """Who rolled out what, when, and what clients felt; from the hosts' own chained records."""
    with running.sentences():
        environment = running.chosen(env)
        from fabfile import overview
        from fabfile.upkeep import audit as reading

        if overview.show_audit(reading(environment, lines, verify), verify):
            raise Exit(code=3)


@task(help={"env": ENV, "output": "where the archive is written"})
def diagnose(_context: Context, env: str = "", output: str = "") -> None:
    """Collect what an incident needs, with secrets blacked out, into one archive."""
    with running.sentences():
        environment = running.chosen(env)
        from fabfile.diagnose import diagnose as collecting

        print(collecting(environment, output))


def _end(unreachable: dict[str, Exception]) -> None:
    for failure in unreachable.values():
        print(failure, file=sys.stderr)
    if unreachable:
        raise Exit(code=3)
