"""Room in tables that holds no row, measured within a budget of pages."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from fabfile.database import texts, units
from fabfile.database.checks.judging import About, Check, Judged, measured, named, stated
from fabfile.database.findings import Level

LEAST_BLOAT = 0.3
# Pages read in each second that a query may take; some 100 ms of it.
MOST_PAGES = 10_000


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
    left = [each for each in found if not each.measured]
    size = units.size(sum(each.size for each in left))
    more = f"; {len(left)} of {size} only fab db-bloat, or a longer --limit, measures" if left else ""
    if one is None:
        yield measured(about, "bloat", 0, f"No table of {len(known)} measured is bloated{more}")
    else:
        name = texts.qualified(one.schema, one.name)
        said = f"{name} has {units.size(one.wasted)} more than its rows need, of {units.size(one.size)}{more}"
        yield measured(about, "bloat", one.wasted, said, "fab db-bloat", subjects=(name,))
    # What could be bloated to where it wakes somebody, and nobody looked at, is not right: it is not known.
    last = about.threshold("bloat").critical
    if last is not None and sum(each.size for each in left) * LEAST_BLOAT >= last:
        names = tuple(texts.qualified(each.schema, each.name) for each in left)
        said = (
            f"Whether {named(names)} ({size} in all) are bloated is not known: that takes longer than a look."
        )
        yield stated(about, "bloat-unmeasured", Level.UNKNOWN, said, "fab db-bloat", names)


def unmeasured(about: About) -> Judged:
    """Nobody knows of bloat without the extension: the planner's statistics are hidden from who looks."""
    said = "Bloat is not measured: the extension pgstattuple is not there."
    command = "ansible-playbook -i inventory/ENV playbooks/database.yml"
    yield stated(about, "bloat", Level.WARN, said, command)


def measured_in(there: Measuring | None, seconds: float) -> tuple[Check, ...]:
    """The check of bloat; there: None without the extension. seconds: that a query may take."""
    if there is None:
        return (Check("bloat", (), unmeasured, monitor=False),)
    measure = sql.Identifier(there.schema, "pgstattuple_approx")
    parts = {"measure": measure, "budget": sql.Literal(int(MOST_PAGES * seconds))}
    return (Check("bloat", (("bloat", Bloat),), bloat, parts=parts),)
