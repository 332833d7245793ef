"""`fab backfill-…`: begun, paused and looked at on the first app host; a run needs nobody who watches."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from fabfile.database import texts, units
from fabfile.database.findings import Table
from fabfile.database.toolbox.readings import Reading
from fabfile.errors import FabError, UnfinishedError
from fabfile.hosts.connection import Remote, UnreachableError
from fabfile.hosts.environment import Environment
from fabfile.hosts.fleet import AnswerError, Fleet, performed
from fabfile.report import Report

LOOK_SECONDS = 5.0
# The host waits for its lock and for the service's answer.
ASK_SECONDS = 150.0
COLUMNS = ("backfill", "table", "state", "done", "of about", "percent", "rows/s", "since", "last batch")


class BackfillError(FabError):
    """A run that ended badly; what it did stays done."""

    exit_code = 3


def status(environment: Environment) -> dict[str, Any]:
    """{"release": the live one, "backfills": a list of rows}, those that were begun and those that are declared."""
    with _first(environment) as remote:
        return performed(remote, ["backfill", "status"], seconds=ASK_SECONDS)[0].result


def pause(environment: Environment, name: str) -> dict[str, Any]:
    """Its row, when it is to stop after its present batch."""
    with _first(environment) as remote:
        return dict(performed(remote, ["backfill", "pause", name], seconds=ASK_SECONDS)[0].result["row"])


def run(environment: Environment, report: Report, name: str, resume: bool = False, watch: bool = True) -> str:
    """Begin it, and tell how far it is until it has ended; what then is, in a sentence.

    resume: take a pause back first. watch: False to leave it to itself once it runs. Raises FabError.
    """
    with _first(environment) as remote:
        (answer,) = performed(remote, ["backfill", "resume" if resume else "run", name], seconds=ASK_SECONDS)
        found = answer.result
        report.step("backfill", f"{name} of {found['release']} on {remote.name}")
        if found["running"] and not watch:
            return f"{name} runs on {remote.name}, whoever watches. {_look(environment)}"
        try:
            while found["running"]:
                time.sleep(LOOK_SECONDS)
                found = performed(remote, ["backfill", "progress"])[0].result
                if said := _progress(found):
                    report.told(remote.name, said)
        except (KeyboardInterrupt, UnreachableError, AnswerError) as failure:
            raise UnfinishedError(
                f"{failure or 'Interrupted.'}\n{name} needs nobody who watches: it goes on in its unit on "
                f"{remote.name}. {_look(environment)} To stop it: fab backfill-pause {name} --env {environment.name}"
            ) from None
        return _ended(environment, name, found)


@contextmanager
def _first(environment: Environment) -> Iterator[Remote]:
    others = [host.name for host in environment.app_hosts[1:]]
    with Fleet(environment, without=others) as fleet:
        fleet.require_all()
        yield fleet.first


def _look(environment: Environment) -> str:
    return f"How far it is: fab backfill-status --env {environment.name}."


def _progress(found: dict[str, Any]) -> str:
    said = found.get("progress")
    if not found["running"] or not said:
        return ""
    left = said.get("seconds_left")
    parts = [
        f"{units.count(int(said['rows_done']))} rows",
        f"{units.count(int(said['rows_per_second']))} a second",
    ]
    parts += [f"{units.duration(float(left))} left"] if left is not None else []
    return ", ".join(parts)


def _ended(environment: Environment, name: str, found: dict[str, Any]) -> str:
    row = found.get("row")
    if row is None or found.get("name") != name:
        reason = texts.plain(found.get("sentence") or "its unit was stopped or killed", 500)
        raise BackfillError(
            f"{name} has ended before its end: {reason}. Every batch that was done stays done; to go on from there: "
            f"fab backfill-run {name} --env {environment.name}"
        )
    rows = f"{units.count(int(row['rows_done']))} rows"
    if row["paused"]:
        return f"{name} is paused after {rows}. To let it go on: fab backfill-resume {name} --env {environment.name}"
    return f"{name} is done: {rows} in {units.count(int(row['batches_done']))} batches."


def as_json(found: dict[str, Any]) -> str:
    """Everything, as one JSON object with a version; moments in ISO 8601."""
    return json.dumps({"version": 1, **found}, indent=2)


def as_reading(environment: Environment, found: dict[str, Any]) -> Reading:
    """The backfills as a table, and what to type for those that do not go on by themselves."""
    rows = [
        (
            texts.plain(row["name"]),
            texts.plain(row["table"]) if row["table"] else None,
            row["state"] if row["declared"] else f"{row['state']}, of another release",
            row.get("rows_done"),
            row["rows"],
            row["percent"],
            row["rows_per_second"],
            _moment(row.get("started_at")),
            _moment(row.get("updated_at")),
        )
        for row in found["backfills"]
    ]
    if not rows:
        return Reading((), f"{found['release']} declares no backfill, and none was ever begun.")
    typed = {"stopped": "run", "not begun": "run", "paused": "resume"}
    notes = [
        f"  fab backfill-{typed[row['state']]} {texts.plain(row['name'])} --env {environment.name}"
        for row in found["backfills"]
        if row["declared"] and row["state"] in typed
    ]
    said = ["These do not go on by themselves:", *notes] if notes else []
    return Reading((Table("Backfills", COLUMNS, tuple(rows)),), "\n".join(said))


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
