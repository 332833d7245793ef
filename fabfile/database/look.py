"""One look at one database: what its host says, what the server says section by section, judged into a report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from typing import Any

import psycopg

from fabfile.database.asking import connection, down, queries, refusals, releases, reserved, snapshot
from fabfile.database.asking.connection import Tunnel
from fabfile.database.asking.place import Asked, Database
from fabfile.database.asking.refusals import DownError
from fabfile.database.checks import acceptances, thresholds
from fabfile.database.checks.acceptances import Acceptance
from fabfile.database.checks.counters import Memory
from fabfile.database.checks.judging import NO_SCHEMA, About, Check, stated
from fabfile.database.checks.sections import (
    bloat,
    limits,
    replication,
    service,
    sessions,
    settings,
    starts,
    tables,
    workload,
)
from fabfile.database.findings import Finding, Level, Report, Section, Server
from fabfile.errors import RefusedError
from fabfile.hosts.answers import UnreachableError

# Sessions and replication first: in a bad hour they are what counts, and they cost little on any catalogue.
SECTIONS: dict[str, tuple[Check, ...]] = {
    "sessions": (*limits.CHECKS, *sessions.CHECKS),
    "replication": replication.CHECKS,
    "service": service.CHECKS,
    "tables": tables.CHECKS,
    "workload": workload.CHECKS,
    "settings": (*settings.CHECKS, *starts.CHECKS),
}
NAMES = ("server", *SECTIONS)
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
    """Looks again and again; the way there and the session are opened anew when they were lost."""

    def __init__(
        self, environment: Asked, database: Database, accepted: Sequence[Acceptance] = (),
        limit_ms: int = snapshot.TIMEOUT_MS, memory: Memory | None = None, release: releases.Release | None = None,
    ) -> None:  # fmt: skip
        self.environment, self.database, self.limit_ms = environment, database, limit_ms
        self._accepted = accepted
        self._memory = memory or Memory(environment.name)
        self._release = release or releases.of(environment, database)
        self._opened = ExitStack()
        self._way: Tunnel | None = None
        self._session: psycopg.Connection[Any] | None = None
        self._note = ""

    def __enter__(self) -> Look:
        return self

    def __exit__(self, *_failure: object) -> None:
        self._close()
        self._release.close()

    def again(self, names: Sequence[str] = ()) -> Report:
        """A report. Raises UnreachableError where the host does not answer; the next look opens a way anew."""
        began = time.monotonic()
        try:
            server, parts = self._looked(names)
        except DownError:
            raise
        except UnreachableError:
            self._close()
            raise
        seconds = time.monotonic() - began
        report = Report(
            self.environment.name,
            self.database.name,
            server,
            datetime.now(timezone.utc),
            seconds,
            tuple(parts),
        )
        return acceptances.applied(
            report, self._accepted, whole=not names and server.role in ("primary", "standby")
        )

    def _looked(self, names: Sequence[str]) -> tuple[Server, list[Section]]:
        way = self._open()
        about = self._about()
        try:
            try:
                return self._read(way, about, names)
            except psycopg.OperationalError:
                # The server ended the session, as a restart does: it may take another.
                self._end_session()
                return self._read(way, about, names)
        except psycopg.OperationalError as failure:
            self._end_session()
            lost = refusals.of(self.database.host, self.database.name, "slipway_ops", failure)
            return self._unread(way, about, lost, names)
        except DownError as failure:
            return self._unread(way, about, failure, names)

    def _unread(
        self, way: Tunnel, about: About, failure: DownError, names: Sequence[str]
    ) -> tuple[Server, list[Section]]:
        about = self._of_host(way, about)
        kept = isinstance(failure, refusals.FullError | refusals.RoleFullError)
        server, parts = (reserved.look if kept else down.look)(self.database, about, failure)
        seen = {part.name for part in parts}
        reason = f"it was not looked at, because {down.why(failure)}"
        # What nobody looked at is not right.
        parts += [Section(name, problem=reason) for name in SECTIONS if name not in seen]
        return server, [part for part in parts if not names or part.name in (*names, "server")]

    def _open(self) -> Tunnel:
        if self._way is None:
            self._way = self._opened.enter_context(connection.tunnel(self.database))
        else:
            self._way.refresh()
        return self._way

    def _close(self) -> None:
        self._end_session()
        self._opened.close()
        self._way = None

    def _end_session(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _read(self, way: Tunnel, about: About, names: Sequence[str]) -> tuple[Server, list[Section]]:
        if self._session is None or self._session.broken or self._session.closed:
            self._session, self._note = way.to_look("slipway db-status", max(5_000, self.limit_ms))
        about = self._of_host(way, about)
        server, parts = read(self._session, about, self.database.host.name, names, self.limit_ms)
        return replace(server, note=self._note), parts

    def _about(self) -> About:
        budget, database = self.environment.budget, self.database
        return About(
            environment=self.environment.name,
            database=database.name,
            schema=database.app,
            certificates=database.certificates,
            now=datetime.now(timezone.utc),
            version=0,
            replicas=database.replicas,
            backups_expected=database.backups_expected,
            physical_expected=database.physical_expected,
            budget=len(self.environment.app_hosts) * 2 * budget.of_one_release + ADMINS,
            since=self._memory.since,
            thresholds=thresholds.of(database.overrides),
        )

    def _of_host(self, way: Tunnel, about: About) -> About:
        facts = way.facts
        head, chains = self._release.now(facts)
        return replace(about, facts=facts, head=head, chains=chains)


def read(
    session: psycopg.Connection[Any], about: About, host: str, names: Sequence[str] = (),
    limit_ms: int = snapshot.TIMEOUT_MS,
) -> tuple[Server, list[Section]]:  # fmt: skip
    """The server, and its sections, on any connection. about: version, standby and monitor are read here.

    limit_ms: how long one query may take. Raises psycopg.OperationalError when the first question gets no answer.
    """
    began = time.monotonic()
    one = queries.rows(session, Privileges, "privileges")[0]
    about = replace(about, version=one.version, standby=one.standby, monitor=one.monitor)
    server = Server(host, "standby" if one.standby else "primary", one.shown, one.started)
    parts = [Section("server", tuple(_privileges(about, one)), (), time.monotonic() - began)]
    for name, checks in SECTIONS.items():
        if not names or name in names:
            more = partial(_extended, session, name, limit_ms / 1000)
            asked = [check for check in checks if check.name != "migration" or about.head != NO_SCHEMA]
            parts.append(snapshot.section(session, about, name, asked, limit_ms, more))
    return server, [part for part in parts if not names or part.name in names or part.name == "server"]


def _extended(session: psycopg.Connection[Any], name: str, seconds: float) -> tuple[Check, ...]:
    """What can be asked where an extension is; a missing one is a finding, not a failure."""
    if name == "workload":
        return workload.counted_in(queries.rows(session, workload.Preloaded, "preloaded")[0])
    if name == "tables":
        there = next(iter(queries.rows(session, bloat.Measuring, "measuring")), None)
        return bloat.measured_in(there, seconds)
    return ()


def _privileges(about: About, one: Privileges) -> list[Finding]:
    if one.monitor:
        said = f"{one.role} sees what it has to, and changes nothing."
        return [stated(about, "privileges", Level.OK, said)]
    said = f"{one.role} is no member of pg_monitor and sees a part only; what depends on it is not known."
    command = f"ansible-playbook -i inventory/{about.environment} playbooks/database.yml"
    return [stated(about, "privileges", Level.UNKNOWN, said, command)]
