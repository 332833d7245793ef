"""What the server has been doing: cache, checkpoints, temporary files, deadlocks, statements, damaged pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from fabfile.database import texts, units
from fabfile.database.checks.counters import Came, Counters
from fabfile.database.checks.judging import About, Check, Judged, measured, stated
from fabfile.database.findings import Level, Table

LEAST_BLOCKS = 100_000
# Whatever is loaded or read for the first time comes from the disk, once.
LEAST_SECONDS = 3600
LEAST_CHECKPOINTS = 20


@dataclass(frozen=True)
class Cache:
    """Of this database. hit, read: blocks. began: its statistics, or the server; at: now, both since 1970."""

    hit: float
    read: float
    commits: float
    rollbacks: float
    deadlocks: float
    temporary_files: float
    temporary_bytes: float
    began: float
    at: float


@dataclass(frozen=True)
class Checksums:
    name: str
    failures: int
    last: datetime | None
    enabled: bool


@dataclass(frozen=True)
class Preloaded:
    """schema: of the extension, "" without one."""

    schema: str
    loaded: bool


@dataclass(frozen=True)
class Statement:
    """milliseconds: in all. percent: of all statements' time."""

    calls: float
    milliseconds: float
    mean: float
    percent: float | None
    query: str


@dataclass(frozen=True)
class Checkpoints:
    """began: their statistics; at: now, both since 1970."""

    timed: float
    requested: float
    began: float
    at: float


def cache(about: About, found: list[Cache]) -> Judged:
    """Hits, deadlocks, temporary files and rollbacks of this database, since an earlier look where there was one."""
    one = found[0]
    names = ("hit", "read", "commits", "rollbacks", "deadlocks", "temporary_files", "temporary_bytes")
    came = about.since("cache", Counters(one.at, one.began, {name: getattr(one, name) for name in names}))
    new = came.counts
    asked = new["hit"] + new["read"]
    percent = 100 * new["hit"] / asked if asked else 100.0
    said = f"{percent:.2f} % of the blocks asked for {_when(came)} were in memory"
    enough = asked >= LEAST_BLOCKS and came.seconds >= LEAST_SECONDS
    yield measured(about, "cache-hit", percent, said, "fab db-top", enough)
    an_hour = new["deadlocks"] * 3600 / max(came.seconds, LEAST_SECONDS)
    said = f"{units.count(new['deadlocks'])} deadlocks {_when(came)}, {an_hour:.1f} an hour"
    yield measured(
        about, "deadlocks", an_hour, said, "journalctl -u postgresql@* --grep deadlock", came.compared
    )
    ended = new["commits"] + new["rollbacks"]
    share = 100 * new["rollbacks"] / ended if ended else 0
    yield stated(
        about,
        "counts",
        Level.OK,
        f"{units.count(new['temporary_files'])} temporary files of {units.size(new['temporary_bytes'])} {_when(came)}, "
        f"{share:.1f} % of transactions rolled back.",
    )


def _when(came: Came) -> str:
    return f"in the last {units.duration(came.seconds)}"


def checksums(about: About, found: list[Checksums]) -> Judged:
    """Damaged pages."""
    failures = sum(one.failures for one in found)
    where = ", ".join(texts.name(one.name) for one in found if one.failures)
    if failures:
        said = f"{failures} pages did not have their checksum, in {where}: the storage is damaged."
        yield stated(about, "checksums", Level.CRITICAL, said, "journalctl -k --grep 'I/O error'")
    elif not all(one.enabled for one in found):
        said = "Pages have no checksums: damage would not be noticed."
        yield stated(
            about,
            "checksums",
            Level.WARN,
            said,
            "pg_checksums --enable  # with the server stopped",
        )
    else:
        yield stated(about, "checksums", Level.OK, "Every page had its checksum.")


def checkpoints(about: About, found: list[Checkpoints]) -> Judged:
    """Whether WAL fills before a checkpoint's time has come."""
    one = found[0]
    counts = {"timed": one.timed, "requested": one.requested}
    came = about.since("checkpoints", Counters(one.at, one.began, counts))
    requested = came.counts["requested"]
    every = came.counts["timed"] + requested
    percent = 100 * requested / every if every else 0
    said = (
        f"{units.count(requested)} of {units.count(every)} checkpoints {_when(came)} came before their time"
    )
    yield measured(about, "checkpoints", percent, said, "SHOW max_wal_size;", every > LEAST_CHECKPOINTS)


def preloaded(about: About, found: list[Preloaded]) -> Judged:
    """Whether statements are counted at all."""
    there = found[0].schema and found[0].loaded
    if not there:
        said = "Statements are not counted: pg_stat_statements is not there."
        yield stated(about, "statements", Level.WARN, said, "CREATE EXTENSION pg_stat_statements;")


def statements(about: About, found: list[Statement]) -> Judged:
    """The statements that cost most, without their values."""
    if found:
        share = found[0].percent or 0
        said = f"One statement takes {share:.0f} % of all statements' time."
        yield stated(about, "statements", Level.OK, said)
    rows = tuple(
        (texts.query(one.query), one.calls, one.milliseconds, one.mean, one.percent) for one in found
    )
    yield Table("Statements by time", ("query", "calls", "total ms", "mean ms", "time %"), rows)


CHECKS = (
    Check("cache-hit", (("cache", Cache),), cache, monitor=False),
    Check("checksums", (("checksums", Checksums),), checksums, monitor=False),
    Check("checkpoints", (("checkpoints", Checkpoints),), checkpoints, monitor=False),
    Check("statements", (("preloaded", Preloaded),), preloaded, monitor=False),
)


def counted_in(there: Preloaded) -> tuple[Check, ...]:
    """The check of statements; none without the extension, which is a finding of its own and no failure."""
    if not (there.schema and there.loaded):
        return ()
    parts = {"statements": sql.Identifier(there.schema, "pg_stat_statements")}
    return (Check("statements", (("statements", Statement),), statements, parts=parts),)
