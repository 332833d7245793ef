"""What a page draws of a report: bars of a table's measure, and how near each check is to its critical threshold.

Lengths are in the units of the drawing, which the page scales; nothing here knows of HTML.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fabfile.database import texts
from fabfile.database.findings import Finding, Level, Table
from fabfile.database.screen import tables

WIDTH, LABEL, VALUE, ROW, TOP = 560, 180, 84, 26, 6
SPACE = WIDTH - LABEL - VALUE
MOST_BARS = 12
MEASURES = re.compile(
    r"%|share|bytes|size|connections|sessions|backends|total|time|used|seconds|age|lag|retained|count|dead|calls",
    re.IGNORECASE,
)
# Beyond this multiple of its critical threshold a bar is drawn as long as it gets.
LONGEST = 1.5


@dataclass(frozen=True)
class Bar:
    """label: as much as fits; whole: all of it. y, length: of the bar. value: as text. kind: a level's name or ""."""

    label: str
    whole: str
    y: float
    length: float
    value: str
    kind: str = ""
    warn: float | None = None


@dataclass(frozen=True)
class Chart:
    """text: what the drawing says, for who does not see it. limit: where the line of the threshold stands."""

    title: str
    text: str
    height: int
    bars: tuple[Bar, ...]
    limit: float | None = None


def of_table(table: Table) -> Chart | None:
    """Bars of the table's first measure by its first text; None when it has none, or less than two rows."""
    measures = [
        at
        for at, name in enumerate(table.columns)
        if tables.is_numeric(table, at) and MEASURES.search(name) and not tables.IDENTIFIERS.search(name)
    ]
    if not measures or len(table.rows) < 2:
        return None
    value_at = min(measures, key=lambda at: _preference(table, at))
    rows = [row for row in table.rows if _number(row[value_at]) > 0]
    rows = sorted(rows, key=lambda row: -_number(row[value_at]))[:MOST_BARS]
    longest = max((_number(row[value_at]) for row in rows), default=0.0)
    if longest <= 0:
        return None
    column = table.columns[value_at]
    # A share is a share of all there is: the longest of them does not fill the line.
    longest = max(longest, 100.0) if column.endswith("%") or "percent" in column.lower() else longest
    bars = tuple(
        _bar(
            at,
            _name(table, row),
            _number(row[value_at]) / longest,
            tables.measure(column, row[value_at]),
        )
        for at, row in enumerate(rows)
    )
    said = "; ".join(f"{bar.whole}: {bar.value}" for bar in bars)
    return Chart(f"{table.title}: {column}", said, _height(bars), bars)


def _preference(table: Table, column: int) -> tuple[bool, bool, bool, int]:
    """The smaller, the better: what the title speaks of, then shares, then sizes, then the first."""
    name = table.columns[column].lower()
    return (
        name.split()[0] not in table.title.lower().split(),
        not name.endswith("%"),
        "bytes" not in name,
        column,
    )


def _name(table: Table, row: tuple[object, ...]) -> str:
    """What a row is of: all its texts but a statement's, which stands for itself where there is nothing else."""
    parts = [
        tables.cell(value)
        for at, (column, value) in enumerate(zip(table.columns, row, strict=True))
        if column not in ("query", "query id")
        and value not in (None, "")
        and (column == "pid" or not tables.is_numeric(table, at))
    ]
    if not parts and "query" in table.columns:
        parts = [tables.cell(row[table.columns.index("query")])]
    return " ".join(parts)


def nearness(findings: Sequence[Finding]) -> Chart | None:
    """How near each check with thresholds is to its critical one, the nearest first."""
    placed = [(place, finding) for finding in findings if (place := _place(finding)) is not None]
    placed.sort(key=lambda pair: -pair[0][0])
    bars = tuple(
        _bar(
            at,
            finding.check,
            min(now, LONGEST) / LONGEST,
            f"{now * 100:.0f} %",
            finding.level.name if finding.level is not Level.OK else "",
            SPACE * min(warn, LONGEST) / LONGEST,
        )
        for at, ((now, warn), finding) in enumerate(placed)
    )
    said = "; ".join(f"{bar.label}: {bar.value} of critical" for bar in bars)
    limit = LABEL + SPACE / LONGEST
    return Chart("How near to critical", said, _height(bars), bars, limit) if bars else None


def _place(finding: Finding) -> tuple[float, float] | None:
    """Value and warning as shares of the critical threshold. Where less is worse, the shares are turned over."""
    value, warn, critical = finding.value, finding.warn, finding.critical
    if value is None or warn is None or critical is None or critical <= 0 or warn <= 0:
        return None
    if warn <= critical:
        return max(0.0, value) / critical, warn / critical
    return (critical / value if value > 0 else LONGEST), critical / warn


def _bar(at: int, whole: str, share: float, value: str, kind: str = "", warn: float | None = None) -> Bar:
    length = max(1.5, SPACE * share) if share > 0 else 0.0
    return Bar(texts.shortened(whole, 23), whole, TOP + at * ROW, round(length, 1), value, kind, warn)


def _number(value: object) -> float:
    return float(value) if isinstance(value, tables.NUMBERS) else 0.0


def _height(bars: Sequence[Bar]) -> int:
    return TOP * 2 + len(bars) * ROW
