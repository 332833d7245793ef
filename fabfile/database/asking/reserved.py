"""When all ordinary connections are taken: the database host's own program looks with one that is kept for superusers.

It is fixed and takes no argument (see templates/usr/local/lib/slipway/); its rows are judged as
any others.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from typing import Any

from fabfile.database import texts
from fabfile.database.asking import down, ssh
from fabfile.database.asking.place import Database
from fabfile.database.asking.refusals import DownError, FullError
from fabfile.database.checks.judging import About, stated
from fabfile.database.checks.sections import limits, sessions
from fabfile.database.checks.sections.limits import Limit, Limits, Usage
from fabfile.database.checks.sections.sessions import Prepared, Session
from fabfile.database.findings import Finding, Level, Section, Server, Table

PROGRAM = "sudo -n -u postgres /usr/local/lib/slipway/{app}/look-at-postgresql"
SECONDS = 15
NOTE = "this was read over a connection that is kept for superusers"


def look(database: Database, about: About, failure: DownError) -> tuple[Server, list[Section]]:
    """The sessions and what the host says; the other sections are not known."""
    host = database.host.name
    of_host = down.of_host(about)
    try:
        answer = _ask(database)
    except (ValueError, OSError, subprocess.TimeoutExpired) as problem:
        full = stated(
            about,
            "connections",
            Level.CRITICAL,
            f"{down.why(failure).capitalize()} on {host} ({failure.reason}), and no connection that is kept for "
            f"superusers could be used ({texts.plain(problem, 120)}).",
            f"systemctl restart {database.app}@*" if isinstance(failure, FullError) else "fab db-activity",
        )
        return Server(host, "primary", note=failure.reason), [Section("sessions", (full,)), of_host]
    role = "standby" if answer["standby"] else "primary"
    note = f"{down.why(failure).capitalize()}; {NOTE}"
    server = Server(host, role, str(answer["version"]), note=note)
    return server, [_section("sessions", judged(about, answer)), of_host]


def judged(about: About, answer: dict[str, Any]) -> list[Finding | Table]:
    """Findings of the program's rows."""
    about = replace(about, monitor=True)
    found = [Session(**row) for row in answer["sessions"]]
    prepared = [Prepared(**row) for row in answer["prepared"]]
    return [
        *limits.connections(about, [Limits(**answer["limits"])], [Usage(**row) for row in answer["usage"]]),
        *limits.of_roles(about, [Limit(**row) for row in answer["role_limits"]], found),
        *limits.budget(about, [Limits(**answer["limits"])]),
        *sessions.blocked(about, found),
        *sessions.longest_query(about, found),
        *sessions.oldest_transaction(about, found),
        *sessions.cleaning(about, found, prepared),
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
    command = PROGRAM.format(app=database.app)
    done = subprocess.run(
        command.split() if database.here else ssh.command(database.host, command),
        stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise ValueError(done.stderr.decode(errors="replace").strip() or f"status {done.returncode}")
    # A login shell may print lines of its own before it; PostgreSQL writes the object on several.
    begins = re.search(r"^\{", text := done.stdout.decode(errors="replace"), re.MULTILINE)
    if not begins:
        raise ValueError(
            "it printed nothing" if not text.strip() else f"it printed {texts.plain(text, 80)!r}"
        )
    return dict(json.loads(text[begins.start() :]))
