"""The form of a judgement: which queries a check needs, and the function that makes findings of their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg import sql

from fabfile.database import texts
from fabfile.database.checks import thresholds
from fabfile.database.checks.counters import Came, Counters, from_the_beginning
from fabfile.database.checks.planned import MIGRATOR
from fabfile.database.checks.thresholds import Threshold
from fabfile.database.findings import Finding, Level, Table
from fabfile.schema import Revision

# The one list of pages a critical line may name: docs/runbooks/db-<check>.md.
RUNBOOKS = frozenset(
    (
        "connections", "connection-budget", "blocked", "longest-query", "oldest-transaction", "idle-in-transaction",
        "prepared-transactions", "replica-lag", "replicas", "slots", "archiving", "wal-size", "disk", "transaction-ids",
        "sequences", "bloat", "checksums", "settings-files", "hba", "certificate", "role-validity", "migration",
        "backup", "restore-test", "clock", "server", "privileges", "physical-backup", "wal-continuity",
        "backup-integrity", "backup-copy",
    )
)  # fmt: skip
# Several checks that one page explains.
PAGES = {
    "replay-delay": "replica-lag",
    "archive-replay": "replica-lag",
    "archive-backlog": "archiving",
    "physical-restore-test": "physical-backup",
    "physical-look": "physical-backup",
    "ident": "hba",
    "slot-unread": "slots",
    "wal-room": "disk",
    "clock-synchronisation": "clock",
    "inodes": "disk",
    "multixacts": "transaction-ids",
    "slot-room": "slots",
    "role-limits": "connections",
    "cleaning": "oldest-transaction",
    "bloat-unmeasured": "bloat",
}


NO_SCHEMA = ""


@dataclass(frozen=True)
class About:
    """What a judgement knows beside its rows. facts: the host's (see host_facts), empty where nobody asked it.

    budget: connections that all app hosts may hold in a switch, 0 when unknown. head: the live release's revision; None
    when unknown, NO_SCHEMA where it has no migrations.
    chains: the revisions of the live release and of the others at hand. since: counters less those of an earlier look.
    schema: the service's; "" is called as the database. certificates: the host's folder of them.
    """

    environment: str
    database: str
    now: datetime
    version: int
    standby: bool = False
    monitor: bool = True
    replicas: int = 0
    backups_expected: bool = False
    physical_expected: bool = False
    budget: int = 0
    head: str | None = None
    chains: Sequence[Sequence[Revision]] = ()
    since: Callable[[str, Counters], Came] = from_the_beginning
    facts: Mapping[str, Any] = field(default_factory=dict)
    schema: str = ""
    certificates: str = "/etc/ssl/slipway"
    thresholds: Mapping[str, Threshold] = field(default_factory=lambda: dict(thresholds.DEFAULTS))

    def threshold(self, check: str, role: str = "") -> Threshold:
        """The check's, or the role's own."""
        kind = f"*{MIGRATOR}" if role.endswith(MIGRATOR) else role
        own = self.thresholds.get(f"{check}/{role}", self.thresholds.get(f"{check}/{kind}"))
        return own or self.thresholds[check]


Judged = Iterable[Finding | Table]


@dataclass(frozen=True)
class Check:
    """judge gets About and a list of rows for each of the queries (name, type of row).

    monitor: needs pg_monitor. parts: what the queries' {parts} are.
    """

    name: str
    queries: tuple[tuple[str, type], ...]
    judge: Callable[..., Judged]
    monitor: bool = True
    parts: Mapping[str, sql.Composable] = field(default_factory=dict)


def runbook(check: str) -> str:
    """The page of a check that can be critical, "" for others."""
    name = PAGES.get(check, check)
    return f"db-{name}.md" if name in RUNBOOKS else ""


def measured(
    about: About,
    check: str,
    value: float,
    sentence: str,
    command: str = "",
    applies: bool = True,
    role: str = "",
    subjects: tuple[str, ...] = (),
) -> Finding:
    """A finding of a number; its thresholds end the sentence. applies: False is OK at any number.

    role: whose session it is, for a check whose thresholds a role may have of its own.
    """
    threshold = about.threshold(check, role)
    whose = f"for {texts.plain(role, 40)}: " if f"{check}/{role}" in about.thresholds else ""
    level = threshold.level(value) if applies else Level.OK
    return Finding(
        check,
        level,
        f"{sentence} ({whose}{threshold.said()}).",
        command_of(about, command) if level is not Level.OK else "",
        runbook(check) if level is not Level.OK else "",
        value,
        threshold.warn,
        threshold.critical,
        threshold.unit,
        subjects,
    )


def stated(
    about: About, check: str, level: Level, sentence: str, command: str = "", subjects: tuple[str, ...] = ()
) -> Finding:
    """A finding without a number of its own to compare."""
    wrong = level is not Level.OK
    command, page = (command_of(about, command), runbook(check)) if wrong else ("", "")
    return Finding(check, level, sentence, command, page, subjects=subjects)


def named(subjects: Sequence[str], most: int = 5) -> str:
    """The first of several names, and how many more there are."""
    more = len(subjects) - most
    return f"{', '.join(subjects[:most])}{f' and {more} more' if more > 0 else ''}"


def command_of(about: About, command: str) -> str:
    """A fab command, with the environment it was seen in."""
    command = command.replace("inventory/ENV", f"inventory/{about.environment}")
    return f"{command} --env {about.environment}" if command.startswith("fab ") else command
