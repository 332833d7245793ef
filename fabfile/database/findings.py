"""What is said of a database: findings with a level, in sections, with the tables they were made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

UNREAD = "section-unread"


class Level(Enum):
    """How bad it is; the value is the exit code. What nobody can see ranks worse than a warning."""

    OK = 0
    WARN = 1
    CRITICAL = 2
    UNKNOWN = 3

    @property
    def rank(self) -> int:
        """The place in the order from good to bad."""
        return (Level.OK, Level.WARN, Level.UNKNOWN, Level.CRITICAL).index(self)


def worst(levels: Iterable[Level]) -> Level:
    """The worst of the levels; OK when there are none."""
    return max(levels, key=lambda level: level.rank, default=Level.OK)


@dataclass(frozen=True)
class Finding:
    """One line. check: its lasting name, such as "connections". sentence: with its number and its threshold.

    value, warn and critical are in unit; None when the check has no number. command: what to type next.
    runbook: the page below docs/runbooks, for a line that can be critical. subjects: all that it is about, by name.
    accepted: why and until when somebody lives with it, "" when nobody said so.
    """

    check: str
    level: Level
    sentence: str
    command: str = ""
    runbook: str = ""
    value: float | None = None
    warn: float | None = None
    critical: float | None = None
    unit: str = ""
    subjects: tuple[str, ...] = ()
    accepted: str = ""

    @property
    def counts_as(self) -> Level:
        """Its level for the exit code: what was accepted wakes nobody."""
        return Level.OK if self.accepted else self.level


@dataclass(frozen=True)
class Table:
    """Detail. Every row has a cell for each column; a cell is a text, a number, a moment or None."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...] = ()


@dataclass(frozen=True)
class Section:
    """One subject, read in one snapshot. problem: why it could not be read, "" when it was; seconds: what it took."""

    name: str
    findings: tuple[Finding, ...] = ()
    tables: tuple[Table, ...] = ()
    seconds: float = 0.0
    problem: str = ""

    @property
    def said(self) -> tuple[Finding, ...]:
        """The findings, with one more when it could not be read and no other says so."""
        if not self.problem or any(finding.level is Level.UNKNOWN for finding in self.findings):
            return self.findings
        sentence = f"{self.name} could not be read: {self.problem.rstrip('.')}."
        return (*self.findings, Finding(f"{self.name}-{UNREAD}", Level.UNKNOWN, sentence))


@dataclass(frozen=True)
class Server:
    """role: primary, standby, down, or unseen (it answers, and lets nobody look).

    version: such as 14.23, "" when down. note: how it was reached, if unusual.
    """

    host: str
    role: str
    version: str = ""
    started: datetime | None = None
    note: str = ""


@dataclass(frozen=True)
class Report:
    """One look at one database."""

    environment: str
    database: str
    server: Server
    taken: datetime
    seconds: float
    sections: tuple[Section, ...] = field(default=())

    @property
    def findings(self) -> list[Finding]:
        """All findings, worst first, in the sections' order among equals."""
        found = [finding for section in self.sections for finding in section.said]
        return sorted(found, key=lambda finding: -finding.counts_as.rank)

    @property
    def level(self) -> Level:
        return worst(finding.counts_as for finding in self.findings)

    @property
    def exit_code(self) -> int:
        return self.level.value
