"""Findings that somebody lives with for a time: db_status_accepted in the inventory, each with a reason and an end.

An entry names a check, and what of it is accepted (`of`, for findings of things with names): a second invalid index is
news beside the first. A finding that got worse than its entry's level (warn unless it says so) is news as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from fabfile import accepted
from fabfile.database.findings import Finding, Level, Report, Section
from fabfile.errors import RefusedError

NAME = "db_status_accepted"
NEEDED, MORE = {"check", "reason", "until"}, {"of", "level"}
NOTHING = "Nothing was read."


@dataclass(frozen=True)
class Acceptance:
    """of: the names of what is accepted; empty for a finding without names. level: the worst that is."""

    check: str
    of: frozenset[str]
    level: Level
    reason: str
    until: date

    @property
    def said(self) -> str:
        """Such as "until 2027-01-31: it is built anew in January"."""
        return f"until {self.until}: {self.reason.rstrip('.')}"


def load(given: Any) -> list[Acceptance]:
    """The acceptances of an inventory. Raises RefusedError for one that cannot be meant."""
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise RefusedError(f"{NAME} is no list of what is accepted. {NOTHING}")
    return [_one(row) for row in given]


def _one(row: Any) -> Acceptance:
    if not isinstance(row, Mapping) or not NEEDED <= row.keys() <= NEEDED | MORE:
        raise RefusedError(
            f"{NAME}: {row!r} has to have check, reason and until, and may have of and level. {NOTHING}"
        )
    check, names, word = str(row["check"]), row.get("of", []), str(row.get("level", "warn"))
    if not isinstance(names, Sequence) or isinstance(names, str):
        raise RefusedError(f"{NAME}: the `of` of {check} is no list of names. {NOTHING}")
    levels = {level.name.lower(): level for level in Level if level is not Level.OK}
    if word not in levels:
        raise RefusedError(
            f"{NAME}: the level of {check} is {word!r}, and none of {', '.join(levels)}. {NOTHING}"
        )
    reason, until = accepted.terms(f"{NAME}: the entry of {check}", row, NOTHING)
    return Acceptance(check, frozenset(map(str, names)), levels[word], reason, until)


def applied(report: Report, entries: Sequence[Acceptance], whole: bool) -> Report:
    """The report with what is accepted marked so, and with entries that are over, or for nothing, told.

    whole: whether every section was read; only then an entry that fits nothing is known to.
    """
    today = report.taken.date()
    holding = [entry for entry in entries if entry.until >= today]
    sections = tuple(
        replace(part, findings=tuple(_judged(finding, holding) for finding in part.findings))
        for part in report.sections
    )
    told = [_over(entry) for entry in entries if entry.until < today]
    told += [_needless(entry) for entry in holding if whole and not _fits(entry, report)]
    if told:
        sections = (*sections, Section("acceptances", tuple(told)))
    return replace(report, sections=sections)


def _judged(finding: Finding, entries: Sequence[Acceptance]) -> Finding:
    fitting = [
        entry for entry in entries if entry.check == finding.check and entry.level.rank >= finding.level.rank
    ]
    names = frozenset[str]().union(*(entry.of for entry in fitting))
    if finding.level is Level.OK or not fitting or not names >= set(finding.subjects):
        return finding
    used = [entry for entry in fitting if entry.of & set(finding.subjects) or not finding.subjects]
    return replace(finding, accepted="; ".join(entry.said for entry in used))


def _fits(entry: Acceptance, report: Report) -> bool:
    """Whether something is wrong, or not known, that it is for."""
    return any(
        finding.check == entry.check
        and finding.level is not Level.OK
        and (not finding.subjects or entry.of & set(finding.subjects))
        for finding in report.findings
    )


def _over(entry: Acceptance) -> Finding:
    said = f"{_what(entry)} was accepted until {entry.until} ({entry.reason.rstrip('.')}), which is over."
    return Finding("acceptances", Level.WARN, said, f"edit {NAME} in the inventory")


def _needless(entry: Acceptance) -> Finding:
    said = f"{_what(entry)} is accepted until {entry.until} and is right now: take the entry out."
    return Finding("acceptances", Level.WARN, said, f"edit {NAME} in the inventory")


def _what(entry: Acceptance) -> str:
    return f"{entry.check} of {', '.join(sorted(entry.of))}" if entry.of else entry.check
