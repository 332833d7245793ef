"""Standbys, slots, archiving, and the WAL that waits for them."""

from __future__ import annotations

from dataclasses import dataclass

from fabfile.database import texts, units
from fabfile.database.findings import Finding, Level, Table
from fabfile.database.judging import About, Check, Judged, measured, runbook, stated
from fabfile.database.sections import service

MOST_OF_THE_DISK = 0.25
# Of max_wal_size: as much again may be there before a checkpoint is through.
LEAST_ROOM = 2


@dataclass(frozen=True)
class Replica:
    """lag: bytes written here that it has not replayed."""

    application: str
    address: str
    state: str
    sync: str
    lag: float
    lag_seconds: float


@dataclass(frozen=True)
class Receiver:
    """behind: bytes received and not replayed. seconds: since the last transaction it replayed."""

    standby: bool
    status: str | None
    paused: bool
    behind: float
    seconds: float


@dataclass(frozen=True)
class Slot:
    """status: reserved, extended, unreserved or lost. retained: bytes of WAL. held: as of a session.

    room: bytes of WAL that can still be written before it is lost, None where it is lost or nothing limits it.
    away: seconds since somebody read it, at least so many where the server does not know them exactly.
    """

    name: str
    kind: str
    active: bool
    status: str
    retained: float
    room: float | None
    held: int
    away: float
    exact: bool

    @property
    def ending(self) -> str:
        return f"SELECT pg_drop_replication_slot('{texts.plain(self.name, 64)}');"

    @property
    def limit(self) -> str:
        return (
            "which nothing limits" if self.room is None else f"and is lost {units.size(self.room)} further on"
        )

    @property
    def since(self) -> str:
        return f"{'' if self.exact else 'at least '}{units.duration(self.away)}"


@dataclass(frozen=True)
class Archiver:
    """seconds: since WAL was last archived. ready: files that wait."""

    mode: str
    archived: int
    failed: int
    last_failed: str
    failing: bool
    seconds: float
    ready: int


@dataclass(frozen=True)
class Wal:
    size: float
    maximum: float


def replicas(about: About, found: list[Replica]) -> Judged:
    """As many standbys as the inventory expects, none of them far behind."""
    streaming = [one for one in found if one.state in ("streaming", "catchup")]
    if not about.standby:
        missing = about.replicas - len(streaming)
        yield stated(
            about,
            "replicas",
            Level.CRITICAL if missing > 0 else Level.OK,
            f"{len(streaming)} standbys are connected, {about.replicas} are expected by db_status_replicas.",
            "fab db-status --section replication",
        )
    if found:
        worst = max(found, key=lambda one: one.lag)
        name = texts.plain(worst.application or worst.address, 40)
        said = f"The standby {name} is {units.size(worst.lag)} behind"
        yield measured(about, "replica-lag", worst.lag, said, "fab db-status --section replication")
    rows = tuple(
        (texts.plain(one.application), one.address, one.state, one.sync, one.lag, one.lag_seconds)
        for one in found
    )
    yield Table(
        "Standbys", ("application", "address", "state", "sync", "lag bytes", "replay lag seconds"), rows
    )


def receiver(about: About, found: list[Receiver]) -> Judged:
    """What a standby says of itself; a primary has nothing to say."""
    one = found[0]
    if not one.standby:
        return
    if one.paused:
        yield stated(
            about, "replay", Level.WARN, "Replay is paused on this standby.", "SELECT pg_wal_replay_resume();"
        )
    if one.status != "streaming":
        yield Finding(
            "receiver",
            Level.CRITICAL,
            f"This standby receives nothing from its primary (its receiver is {one.status or 'not running'}).",
            "journalctl -u postgresql@*",
            runbook("replica-lag"),
        )
    # An idle primary has nothing to replay: time counts only while bytes wait.
    waiting, old = units.size(one.behind), units.duration(one.seconds)
    said = f"{waiting} are received and not replayed, the last transaction is {old} old"
    yield measured(
        about, "replay-delay", one.seconds if one.behind > 0 else 0, said, "fab db-activity", one.behind > 0
    )


def slots(about: About, found: list[Slot]) -> Judged:
    """A slot nobody reads keeps WAL until the disk is full."""
    wrong = [finding for one in found for finding in _of_slot(about, one)]
    yield from wrong
    if all(finding.level is Level.OK for finding in wrong):
        said = f"{len(found)} replication slots, none of them left alone."
        yield stated(about, "slots", Level.OK, said)
    rows = tuple(
        (
            texts.plain(one.name),
            one.kind,
            "yes" if one.active else "no",
            one.status,
            one.retained,
            one.room,
            None if one.active else one.away,
        )
        for one in found
    )
    columns = ("slot", "kind", "active", "status", "retained bytes", "bytes until lost", "unread seconds")
    yield Table("Replication slots", columns, rows)


def _of_slot(about: About, one: Slot) -> list[Finding]:
    name, kept = texts.plain(one.name, 64), units.size(one.retained)
    if one.status == "lost":
        said = f"The slot {name} is lost: WAL it needs is gone, and who reads it has to be built anew."
        return [stated(about, "slots", Level.CRITICAL, said, one.ending)]
    if one.status == "unreserved":
        said = f"The slot {name} keeps {kept}, more than max_slot_wal_keep_size, and is lost at a checkpoint."
        return [stated(about, "slots", Level.CRITICAL, said, "fab db-status --section replication")]
    free = service.free_for_data(about)
    if free is not None and one.retained > free * MOST_OF_THE_DISK:
        said = f"The slot {name} keeps {kept} of WAL, more than a quarter of the {units.size(free)} that are free."
        return [stated(about, "slots", Level.CRITICAL, said, one.ending)]
    if one.active:
        return []
    said = f"The slot {name} was read by nobody for {one.since} and keeps {kept} of WAL, {one.limit}"
    return [
        measured(about, "slots", one.retained, said, one.ending),
        measured(about, "slot-unread", one.away, said, one.ending),
    ]


def archiving(about: About, found: list[Archiver]) -> Judged:
    """Whether WAL gets away."""
    one = found[0]
    if one.mode == "off":
        yield stated(about, "archiving", Level.OK, "WAL is not archived: archive_mode is off.")
        return
    said = f"{one.ready} files of WAL wait to be archived"
    yield measured(about, "archive-backlog", one.ready, said, "journalctl -u postgresql@*")
    if not one.failing:
        yield measured(about, "archiving", 0, f"WAL is archived, {units.count(one.archived)} files so far")
        return
    said = (
        f"The archive command fails, {units.count(one.failed)} times so far, last on "
        f"{texts.plain(one.last_failed, 40)}; "
        f"nothing was archived for {units.duration(one.seconds)}"
    )
    finding = measured(about, "archiving", one.seconds, said, "journalctl -u postgresql@*")
    young = stated(about, "archiving", Level.WARN, finding.sentence, "journalctl -u postgresql@*")
    yield finding if finding.level is not Level.OK else young


def wal_size(about: About, found: list[Wal]) -> Judged:
    """The size of pg_wal in percent of max_wal_size."""
    one = found[0]
    percent = 100 * one.size / one.maximum if one.maximum else 0
    said = f"pg_wal has {units.size(one.size)}, {percent:.0f} % of max_wal_size"
    yield measured(about, "wal-size", percent, said, "fab db-status --section replication")
    free = service.free_for_data(about)
    if free is not None:
        short = free + one.size < LEAST_ROOM * one.maximum
        word = "less than" if short else "at least"
        room, twice = units.size(free + one.size), units.size(LEAST_ROOM * one.maximum)
        said = f"The disk has room for {room} of WAL, {word} twice max_wal_size ({twice})."
        yield stated(about, "wal-room", Level.WARN if short else Level.OK, said, "fab db-sizes")


CHECKS = (
    Check("replicas", (("replicas", Replica),), replicas),
    Check("receiver", (("receiver", Receiver),), receiver),
    Check("slots", (("slots", Slot),), slots),
    Check("archiving", (("archiver", Archiver),), archiving),
    Check("wal-size", (("wal", Wal),), wal_size),
)
