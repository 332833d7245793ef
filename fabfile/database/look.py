"""One look at one database: what its host says, what the server says section by section, judged into a report."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import psycopg

from fabfile.database import connection, queries, reserved, snapshot, thresholds
from fabfile.database.connection import DownError, Tunnel
from fabfile.database.findings import Finding, Level, Report, Section, Server, Table
from fabfile.database.judging import About, Check, command_of, runbook, stated
from fabfile.database.place import Database
from fabfile.database.sections import (
    bloat,
    replication,
    service,
    sessions,
    settings,
    starts,
    tables,
    workload,
)
from fabfile.environment import Environment
from fabfile.errors import RefusedError

SECTIONS: dict[str, tuple[Check, ...]] = {
    "sessions": sessions.CHECKS,
    "replication": replication.CHECKS,
    "service": service.CHECKS,
    "tables": tables.CHECKS,
    "workload": workload.CHECKS,
    "settings": (*settings.CHECKS, *starts.CHECKS),
}
NAMES = ("server", *SECTIONS)
LIVE = "cat /srv/shop/current/manifest.json"
ADMINS = 10


@dataclass(frozen=True)
class Privileges:
    """Who looks. version: such as 140023; shown: such as 14.23."""

    role: str
    monitor: bool
    standby: bool
    version: int
    shown: str
    started: datetime
    up_seconds: float


def chosen(names: str) -> tuple[str, ...]:
    """The sections of a list with commas, all for "". Raises RefusedError for one that is none."""
    wanted = tuple(filter(None, (name.strip() for name in names.split(","))))
    for name in wanted:
        if name not in NAMES:
            raise RefusedError(
                f"There is no section {name!r}; there are {', '.join(NAMES)}. Nothing was read."
            )
    return wanted


class Look:
    """Looks again and again over one way there; the session is opened anew when it was lost."""

    def __init__(self, environment: Environment, way: Tunnel, live: subprocess.Popen[bytes] | None) -> None:
        self.environment, self.way, self._live = environment, way, live
        self._session: psycopg.Connection[Any] | None = None
        self._head: str | None = None

    def again(self, names: Sequence[str] = ()) -> Report:
        """A report. Raises UnreachableError where the host does not answer."""
        began = time.monotonic()
        database = self.way.database
        self.way.refresh()
        about = self._about(database)
        try:
            server, parts = self._read(about, names)
        except DownError as failure:
            about = self._of_host(about)
            full = reserved.is_full(failure.cause)
            server, parts = (reserved.look if full else _down)(database, about, failure)
        return Report(
            self.environment.name,
            database.name,
            server,
            datetime.now(UTC),
            time.monotonic() - began,
            tuple(parts),
        )

    def _read(self, about: About, names: Sequence[str]) -> tuple[Server, list[Section]]:
        if self._session is None or self._session.broken or self._session.closed:
            self._session = self.way.connect("slipway_ops", "slipway db-status")
        return read(self._session, self._of_host(about), self.way.database.host.name, names)

    def _about(self, database: Database) -> About:
        budget = self.environment.budget
        return About(
            environment=self.environment.name,
            database=database.name,
            now=datetime.now(UTC),
            version=0,
            replicas=database.replicas,
            backups_expected=database.backups_expected,
            budget=len(self.environment.app_hosts) * 2 * budget.of_one_release + ADMINS,
            thresholds=thresholds.of(database.overrides),
        )

    def _of_host(self, about: About) -> About:
        facts = self.way.facts
        if self._head is None:
            manifest = _answer(self._live) if self._live else facts.get("manifest")
            self._head = str((manifest or {}).get("schema_head") or "") or None
        return replace(about, facts=facts, head=self._head)


def read(
    session: psycopg.Connection[Any], about: About, host: str, names: Sequence[str] = ()
) -> tuple[Server, list[Section]]:
    """The server, and its sections, on any connection. about: version, standby and monitor are read here."""
    began = time.monotonic()
    one = queries.rows(session, Privileges, "privileges")[0]
    about = replace(about, version=one.version, standby=one.standby, monitor=one.monitor)
    server = Server(host, "standby" if one.standby else "primary", one.shown, one.started)
    parts = [Section("server", tuple(_privileges(about, one)), (), time.monotonic() - began)]
    for name, checks in SECTIONS.items():
        if not names or name in names:
            parts.append(snapshot.section(session, about, name, (*checks, *_extended(session, name))))
    return server, [part for part in parts if not names or part.name in names or part.name == "server"]


def _extended(session: psycopg.Connection[Any], name: str) -> tuple[Check, ...]:
    """What can be asked where an extension is; a missing one is a finding, not a failure."""
    if session.broken:
        return ()
    if name == "workload":
        one = queries.rows(session, workload.Preloaded, "preloaded")[0]
        return (workload.COUNTED,) if one.installed and one.loaded else ()
    if name == "tables":
        return bloat.measured_in(next(iter(queries.rows(session, bloat.Measuring, "measuring")), None))
    return ()


def _privileges(about: About, one: Privileges) -> list[Finding]:
    if one.monitor:
        said = f"{one.role} sees what it has to, and changes nothing."
        return [stated(about, "privileges", Level.OK, said)]
    said = f"{one.role} is no member of pg_monitor and sees a part only; what depends on it is not known."
    command = f"ansible-playbook -i inventory/{about.environment} playbooks/database.yml"
    return [stated(about, "privileges", Level.UNKNOWN, said, command)]


def _down(database: Database, about: About, failure: DownError) -> tuple[Server, list[Section]]:
    """What the host alone can say when its server takes no connection."""
    unit = about.facts.get("unit") or {}
    lock = about.facts.get("lock")
    state = f"{unit.get('ActiveState', 'unknown')} ({unit.get('SubState', '')}, {unit.get('Result', '')})"
    if lock is None:
        process = "there is no lock file, so no server holds the socket"
    else:
        process = (
            f"the lock file names process {lock['pid']}, which {'lives' if lock['alive'] else 'is gone'}"
        )
    name = f"postgresql@{database.version}-{database.cluster}"
    said = f"PostgreSQL on {database.host.name} takes no connection: its unit is {state}, and {process}."
    command = f"systemctl start {name}" if unit.get("ActiveState") != "active" else f"journalctl -u {name}"
    finding = Finding("server", Level.CRITICAL, said, command_of(about, command), runbook("server"))
    lines = tuple((line,) for line in str(about.facts.get("log") or failure).splitlines())
    parts = [Section("server", (finding,), (Table("Last lines of the log", ("line",), lines),))]
    return Server(database.host.name, "down"), [*parts, host_section(about)]


def host_section(about: About) -> Section:
    """What can be said without the server."""
    said = [item for check in service.HOST for item in check.judge(about)]
    return Section(
        "service",
        tuple(item for item in said if isinstance(item, Finding)),
        tuple(item for item in said if isinstance(item, Table)),
    )


def live(environment: Environment, database: Database) -> subprocess.Popen[bytes] | None:
    """Asks the first app host for its live release meanwhile, where that is another host."""
    if database.host.name in {host.name for host in environment.app_hosts}:
        return None
    return subprocess.Popen(
        connection.command(environment.app_hosts[0], LIVE),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _answer(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The manifest, empty when the host does not say it in time: then the revision is not known."""
    try:
        output, _ = process.communicate(timeout=connection.CONNECT_SECONDS)
        return dict(json.loads(output))
    except (subprocess.TimeoutExpired, ValueError):
        process.kill()
        return {}
