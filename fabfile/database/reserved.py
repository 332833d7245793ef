"""When all ordinary connections are taken: the database host's own program looks with one that is kept for superusers.

It is fixed and takes no argument (see templates/usr/local/lib/slipway/look-at-postgresql.j2); its rows are judged as
any others.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from typing import Any

import psycopg

from fabfile.database import connection, texts
from fabfile.database.connection import DownError
from fabfile.database.findings import Finding, Level, Section, Server, Table
from fabfile.database.judging import About, stated
from fabfile.database.place import Database
from fabfile.database.sections import service, sessions
from fabfile.database.sections.sessions import Limits, Prepared, Session, Usage

PROGRAM = "sudo -n -u postgres /usr/local/lib/slipway/look-at-postgresql"
SECONDS = 15
FULL = ("connection slots are reserved", "too many clients", "too many connections")
NOTE = "All ordinary connections are taken; this was read over one that is kept for superusers"


def is_full(failure: psycopg.OperationalError) -> bool:
    """Whether the server lives and has no connection left for who asked."""
    return any(part in str(failure) for part in FULL)


def look(database: Database, about: About, failure: DownError) -> tuple[Server, list[Section]]:
    """The sessions and what the host says; the other sections are not known."""
    host = database.host.name
    said = [item for check in service.HOST for item in check.judge(about)]
    of_host = _section("service", said)
    try:
        answer = _ask(database)
    except (ValueError, OSError, subprocess.TimeoutExpired) as problem:
        full = stated(
            about,
            "connections",
            Level.CRITICAL,
            f"All ordinary connections of {host} are taken, and none that is kept for superusers could be used "
            f"({texts.plain(problem, 120)}).",
            "systemctl restart shop@*",
        )
        return Server(host, "primary", note=str(failure.cause).strip()), [
            Section("sessions", (full,)),
            of_host,
        ]
    server = Server(host, "standby" if answer["standby"] else "primary", str(answer["version"]), note=NOTE)
    return server, [_section("sessions", judged(about, answer)), of_host]


def judged(about: About, answer: dict[str, Any]) -> list[Finding | Table]:
    """Findings of the program's rows."""
    about = replace(about, monitor=True)
    limits = [Limits(**answer["limits"])]
    usage = [Usage(**row) for row in answer["usage"]]
    found = [Session(**row) for row in answer["sessions"]]
    prepared = [Prepared(**row) for row in answer["prepared"]]
    return [
        *sessions.connections(about, limits, usage),
        *sessions.budget(about, limits),
        *sessions.blocked(about, found),
        *sessions.longest_query(about, found),
        *sessions.oldest_transaction(about, found, prepared),
        *sessions.idle_in_transaction(about, found),
        *sessions.prepared_transactions(about, prepared),
    ]


def _section(name: str, said: list[Finding | Table]) -> Section:
    return Section(
        name,
        tuple(item for item in said if isinstance(item, Finding)),
        tuple(item for item in said if isinstance(item, Table)),
    )


def _ask(database: Database) -> dict[str, Any]:
    done = subprocess.run(
        connection.command(database.host, PROGRAM),
        stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise ValueError(done.stderr.decode(errors="replace").strip() or f"status {done.returncode}")
    return dict(json.loads(done.stdout))
