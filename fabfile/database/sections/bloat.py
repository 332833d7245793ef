"""Room in tables that holds no row, measured within a budget of pages."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from fabfile.database import texts, units
from fabfile.database.findings import Level
from fabfile.database.judging import About, Check, Judged, measured, stated

LEAST_BLOAT = 0.3
# Read in one look, some 50 ms.
MOST_PAGES = 5_000


@dataclass(frozen=True)
class Bloat:
    """wasted: bytes that hold no row. measured: False for a table that would have taken long."""

    schema: str
    name: str
    measured: bool
    size: float
    wasted: float


@dataclass(frozen=True)
class Measuring:
    """The schema of the extension pgstattuple."""

    schema: str


def bloat(about: About, found: list[Bloat]) -> Judged:
    """Tables larger than their rows need, measured."""
    known = [one for one in found if one.measured]
    wrong = [one for one in known if one.size and one.wasted / one.size >= LEAST_BLOAT]
    one = max(wrong, key=lambda each: each.wasted, default=None)
    left = len(found) - len(known)
    more = f"; {left} larger ones only fab db-bloat measures" if left else ""
    if one is None:
        yield measured(about, "bloat", 0, f"No table of {len(known)} measured is bloated{more}")
        return
    name = texts.qualified(one.schema, one.name)
    said = f"{name} has {units.size(one.wasted)} more than its rows need, of {units.size(one.size)}{more}"
    yield measured(about, "bloat", one.wasted, said, "fab db-bloat")


def unmeasured(about: About) -> Judged:
    """Nobody knows of bloat without the extension: the planner's statistics are hidden from who looks."""
    said = "Bloat is not measured: the extension pgstattuple is not there."
    command = "ansible-playbook -i inventory/ENV playbooks/database.yml"
    yield stated(about, "bloat", Level.WARN, said, command)


def measured_in(there: Measuring | None) -> tuple[Check, ...]:
    """The check of bloat; there: None without the extension."""
    if there is None:
        return (Check("bloat", (), unmeasured, monitor=False),)
    measure = sql.Identifier(there.schema, "pgstattuple_approx")
    parts = {"measure": measure, "budget": sql.Literal(MOST_PAGES)}
    return (Check("bloat", (("bloat", Bloat),), bloat, parts=parts),)
