"""`fab migrate-history`: what was applied, by the database; how it went, by the hosts' own records.

The database's row is written in the migration's transaction and is the truth of what is applied. The rest (seconds,
tries, locks, who was in the way, who typed it, the backup, what failed) is in the chained journal of the host that
migrated. A revision of before those records, or of another host's, has its row alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from fabfile.database import texts
from fabfile.database.asking.connection import looking
from fabfile.database.findings import Table
from fabfile.database.toolbox import reading
from fabfile.database.toolbox.readings import Reading
from fabfile.errors import FabError
from fabfile.hosts.environment import Environment
from fabfile.hosts.fleet import Fleet, performed
from fabfile.migration import events
from fabfile.migration.records import Run, runs

RECORDS = 10_000


@dataclass(frozen=True)
class Applied:
    """A row of schema_changes."""

    revision: str
    kind: str
    release: str
    applied_at: datetime


@dataclass(frozen=True)
class Entry:
    """A revision that is applied, or one try to migrate that failed; run: None where no host has a record of it."""

    at: datetime
    revision: str
    kind: str
    result: str
    release: str
    seconds: float | None = None
    tries: int | None = None
    lock: str = ""
    run: Run | None = None


@dataclass(frozen=True)
class History:
    """entries: the newest first. unread: sentences about what could not be asked."""

    environment: str
    entries: list[Entry]
    unread: list[str] = field(default_factory=list)

    def as_json(self) -> str:
        """Everything, as one JSON object with a version; moments in ISO 8601."""
        return json.dumps({"version": 1, **asdict(self)}, default=datetime.isoformat, indent=2)


def read(environment: Environment, limit: int) -> History:
    """What the hosts and the database say; one that does not answer is named, and the rest is shown."""
    unread, records, rows = [], {}, list[Applied]()
    with Fleet(environment) as fleet:
        unread += [str(failure) for failure in fleet.unreachable.values()]
        words = ["journal", "--step=migrate", f"--lines={RECORDS}"]
        for name, answer in fleet.attempt(lambda remote: performed(remote, words)[0].result).items():
            if isinstance(answer, FabError):
                unread.append(f"The records of {name} are missing here: {answer}")
            else:
                records[name] = answer["entries"]
    try:
        with looking(environment, application="slipway migrate-history") as connection:
            rows = applied(connection, environment.app, limit)
    except FabError as failure:
        unread.append(f"What is applied is missing here: {failure}")
    return History(environment.name, merged(rows, runs(records))[:limit], unread)


def applied(connection: psycopg.Connection[Any], schema: str, limit: int) -> list[Applied]:
    """The revisions that are applied, newest first."""
    with reading.sentences("The schema's changes"):
        return reading.rows(
            connection, Applied, "migrations", {"limit": limit}, schema=sql.Identifier(schema)
        )


def merged(rows: Sequence[Applied], found: Sequence[Run]) -> list[Entry]:
    """The applied revisions with how each went, and the tries that failed; the newest first."""
    ways = {
        (run.release, each.get("revision")): (run, each)
        for run in found
        for each in run.revisions
        if not each.get("failed")
    }
    entries = []
    for row in rows:
        run, each = ways.get((row.release, row.revision), (None, {}))
        entries.append(
            Entry(
                row.applied_at,
                texts.plain(row.revision),
                texts.plain(row.kind),
                "applied",
                texts.plain(row.release),
                each.get("seconds"),
                each.get("tries"),
                _lock(each),
                run,
            )
        )
    for run in found:
        if run.result != "applied":
            failed = next((each for each in run.revisions if each.get("failed")), {})
            name, tries = str(failed.get("revision") or ""), failed.get("tries", run.tries)
            at = datetime.fromisoformat(run.began)
            entries.append(Entry(at, name, "", run.result, run.release, run.seconds, tries, "", run))
    return sorted(entries, key=lambda entry: entry.at, reverse=True)


def _lock(each: Mapping[str, Any]) -> str:
    tables = ", ".join(map(str, each.get("on") or []))
    return f"{events.lock(each['lock'])} on {tables}" if each.get("lock") else ""


COLUMNS = (
    "when",
    "revision",
    "kind",
    "result",
    "took",
    "tries",
    "strongest lock",
    "release",
    "by",
    "ticket",
)


def as_reading(history: History) -> Reading:
    """The history as tables: the revisions, and below them what was in the way, what failed, and the backups."""
    rows, told, seen = [], [], set()
    for entry in history.entries:
        run = entry.run
        rows.append(
            (
                entry.at, entry.revision or None, entry.kind or None, entry.result, _took(entry.seconds), entry.tries,
                entry.lock or None, entry.release, run.by if run else None, (run.ticket if run else "") or None,
            )
        )  # fmt: skip
        if run and (run.host, run.began) not in seen:
            seen.add((run.host, run.began))
            told += [(datetime.fromisoformat(run.began), *each) for each in _about(run)]
    tables = [Table("Migrations", COLUMNS, tuple(rows))]
    tables += [Table("How they went", ("began", "what", "said"), tuple(told))] if told else []
    return Reading(tuple(tables), "\n".join(history.unread))


def _took(seconds: object) -> str | None:
    return events.took(float(seconds)) if isinstance(seconds, int | float) else None


def _about(run: Run) -> list[tuple[str, str]]:
    said = [("backup before", run.backup)] if run.backup else []
    said += [("in the way", _blocker(each)) for each in run.blocked_by]
    return said + ([("ended", run.sentence)] if run.result != "applied" and run.sentence else [])


def _blocker(seen: Mapping[str, Any]) -> str:
    try:
        return texts.plain(events.session(seen))
    except (KeyError, TypeError, ValueError):
        return texts.plain(json.dumps(seen, default=str), events.LONGEST)
