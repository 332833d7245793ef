"""Tables, indexes and sequences: what grows, what is in the way, what runs out."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from fabfile.database import texts, units
from fabfile.database.checks.judging import About, Check, Judged, measured, named, stated
from fabfile.database.checks.sections.sequences import Sequence, sequences
from fabfile.database.findings import Level, Table

LEAST_DEAD = 10_000
LEAST_UNUSED = 10 << 20
LEAST_SCANNED = 1_000_000
# Of autovacuum_freeze_max_age; and of what is not frozen, what somebody's snapshot keeps so.
LATE = 1.2
MOST_HELD = 0.5


@dataclass(frozen=True)
class Used:
    """live, dead: rows. due: dead rows from which autovacuum comes. off: for this table."""

    schema: str
    name: str
    live: float
    dead: float
    scans: float
    scanned: float
    index_scans: float
    off: bool
    off_everywhere: bool
    due: float

    @property
    def shown(self) -> str:
        return texts.qualified(self.schema, self.name)


@dataclass(frozen=True)
class Counts:
    """How many there are in the database: what a query leaves out was looked at, and is right."""

    tables: int
    indexes: int
    sequences: int


@dataclass(frozen=True)
class Age:
    """Of a database: transactions and multixacts since the oldest that is not frozen. due: from when autovacuum comes
    for them alone. held: how many transactions back somebody keeps all of them from being frozen.
    """

    name: str
    transactions: float
    multixacts: float
    transactions_due: float
    multixacts_due: float
    held: float


@dataclass(frozen=True)
class Index:
    schema: str
    table: str
    name: str
    valid: bool
    size: float
    scans: float
    removable: bool
    building: bool
    same_as: str

    @property
    def shown(self) -> str:
        return texts.qualified(self.schema, self.name)


@dataclass(frozen=True)
class Constraint:
    schema: str
    table: str
    name: str


def ages(about: About, found: list[Age]) -> Judged:
    """How far from the end of transaction ids, at which the server stops writing."""
    for check, what in (("transaction-ids", "transactions"), ("multixacts", "multixacts")):
        one = max(found, key=lambda age: getattr(age, what))
        value = getattr(one, what)
        name, count = texts.name(one.name), units.count(value)
        said = f"The database {name} has {count} {what} that are not frozen, of 2 147 000 000"
        due, last = getattr(one, f"{what}_due"), about.threshold(check).critical
        # Before autovacuum is late for what it comes for, it is where it was told to be.
        late = value > due * LATE or (last is not None and value >= last)
        command = "vacuumdb --freeze " + name
        if what == "transactions" and one.held > MOST_HELD * value:
            said += f", and nothing newer than {units.count(one.held)} transactions can be: see cleaning"
            command = "fab db-status --section sessions"
        yield measured(about, check, value, said, command, late)


def dead_rows(about: About, found: list[Used], counts: list[Counts]) -> Judged:
    """Tables full of dead rows that autovacuum should have come for."""
    wrong = [one for one in found if one.dead >= LEAST_DEAD and (one.dead > 2 * one.due or _off(one))]
    one = max(wrong, key=_dead_percent, default=None)
    if one is None:
        yield measured(about, "dead-tuples", 0, f"None of {counts[0].tables} tables waits for autovacuum")
    else:
        why = "autovacuum is off for it" if _off(one) else "autovacuum is overdue"
        yield measured(
            about,
            "dead-tuples",
            _dead_percent(one),
            f"{one.shown} has {units.count(one.dead)} dead rows, {_dead_percent(one):.0f} %, and {why}",
            f"VACUUM (ANALYZE) {one.shown};",
        )
    switched = [each.shown for each in found if each.off]
    if any(each.off_everywhere for each in found):
        yield stated(
            about, "autovacuum", Level.WARN, "autovacuum is off for every table.", "SHOW autovacuum;"
        )
    elif switched:
        said = f"autovacuum is off for {named(switched)}."
        yield stated(
            about, "autovacuum", Level.WARN, said, f"ALTER TABLE {switched[0]} RESET (autovacuum_enabled);",
            subjects=tuple(switched),
        )  # fmt: skip
    else:
        yield stated(
            about, "autovacuum", Level.OK, f"autovacuum is on for each of {counts[0].tables} tables."
        )
    rows = tuple((each.shown, each.live, each.dead, each.scans, each.index_scans) for each in found[:20])
    yield Table("Tables by dead rows", ("table", "live count", "dead count", "scans", "index scans"), rows)


def _off(one: Used) -> bool:
    return one.off or one.off_everywhere


def _dead_percent(one: Used) -> float:
    return 100 * one.dead / max(1.0, one.dead + one.live)


def sequential_scans(about: About, found: list[Used]) -> Judged:
    """Large tables that are read whole; said, never a fault."""
    one = max(found, key=lambda each: each.scanned, default=None)
    if one is None or one.scanned < LEAST_SCANNED:
        yield stated(about, "sequential-scans", Level.OK, "No large table is read whole again and again.")
        return
    said = (
        f"{one.shown} was read whole {units.count(one.scans)} times, {units.count(one.scanned)} rows in all."
    )
    yield stated(about, "sequential-scans", Level.OK, said)


def indexes(about: About, found: list[Index], counts: list[Counts]) -> Judged:
    """Invalid ones are paid for and not used; duplicate and unused ones are said."""
    invalid = [one for one in found if not one.valid and not one.building]
    if invalid:
        names = [one.shown for one in invalid]
        said = f"{len(invalid)} indexes are invalid and help no query: {named(names)}."
        command = f"DROP INDEX CONCURRENTLY {names[0]};"
        yield stated(about, "invalid-indexes", Level.WARN, said, command, tuple(names))
    else:
        yield stated(about, "invalid-indexes", Level.OK, f"All of {counts[0].indexes} indexes are valid.")
    same = [one for one in found if one.same_as]
    unused = [one for one in found if one.scans == 0 and one.removable and one.size >= LEAST_UNUSED]
    pairs = named([f"{one.shown} as {texts.name(one.same_as)}" for one in same])
    said = f"{len(same)} indexes equal another one{f': {pairs}' if pairs else ''}."
    yield stated(about, "duplicate-indexes", Level.OK, said)
    size = units.size(sum(one.size for one in unused))
    yield stated(
        about, "unused-indexes", Level.OK, f"{len(unused)} large indexes were never used, {size} in all."
    )
    rows = tuple((one.shown, "invalid", one.size) for one in invalid)
    rows += tuple((one.shown, f"same as {texts.name(one.same_as)}", one.size) for one in same)
    rows += tuple((one.shown, "never used", one.size) for one in unused)
    yield Table("Indexes to look at", ("index", "why", "size bytes"), rows)


def constraints(about: About, found: list[Constraint]) -> Judged:
    """Those added NOT VALID and never validated."""
    if not found:
        yield stated(about, "constraints", Level.OK, "Every constraint is validated.")
        return
    one = found[0]
    table = texts.qualified(one.schema, one.table)
    said = f"{len(found)} constraints were never validated, such as {texts.name(one.name)} of {table}."
    yield stated(
        about,
        "constraints",
        Level.WARN,
        said,
        f"ALTER TABLE {table} VALIDATE CONSTRAINT {texts.name(one.name)};",
        tuple(f"{texts.qualified(each.schema, each.table)}.{texts.name(each.name)}" for each in found),
    )


TABLES, COUNTS = ("tables", Used), ("counts", Counts)
# What the queries are told to leave out is what the judgements call right.
PARTS = {"least_dead": sql.Literal(LEAST_DEAD), "least_scanned": sql.Literal(LEAST_SCANNED)}
CHECKS = (
    Check("transaction-ids", (("ages", Age),), ages),
    Check("dead-tuples", (TABLES, COUNTS), dead_rows, monitor=False, parts=PARTS),
    Check("sequential-scans", (TABLES,), sequential_scans, monitor=False, parts=PARTS),
    Check(
        "indexes", (("indexes", Index), COUNTS), indexes, monitor=False,
        parts={"least_unused": sql.Literal(LEAST_UNUSED)},
    ),
    Check("constraints", (("constraints", Constraint),), constraints, monitor=False),
    Check("sequences", (("sequences", Sequence),), sequences, monitor=False),
)  # fmt: skip
