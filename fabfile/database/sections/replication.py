"""Standbys, slots, archiving, and the WAL that waits for them."""

from __future__ import annotations

from dataclasses import dataclass

from fabfile.database import texts, units
from fabfile.database.findings import Finding, Level, Table
from fabfile.database.judging import About, Check, Judged, measured, runbook, stated


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
    """status: reserved, extended, unreserved or lost. retained: bytes of WAL."""

    name: str
    kind: str
    active: bool
    status: str
    retained: float
    held: int


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
    for one in found:
        name = texts.plain(one.name, 64)
        command = f"SELECT pg_drop_replication_slot('{name}');"
        if one.status in ("unreserved", "lost"):
            said = f"The slot {name} is {one.status}: WAL it needs is, or is about to be, gone."
            yield stated(about, "slots", Level.CRITICAL, said, command)
        elif not one.active:
            finding = measured(
                about,
                "slots",
                one.retained,
                f"The slot {name} is used by nobody and keeps {units.size(one.retained)} of WAL",
                command,
            )
            unused = stated(about, "slots", Level.WARN, finding.sentence, command)
            yield finding if finding.level is not Level.OK else unused
    if all(one.active and one.status not in ("unreserved", "lost") for one in found):
        yield stated(about, "slots", Level.OK, f"{len(found)} replication slots, none of them left alone.")
    rows = tuple(
        (texts.plain(one.name), one.kind, "yes" if one.active else "no", one.status, one.retained)
        for one in found
    )
    yield Table("Replication slots", ("slot", "kind", "active", "status", "retained bytes"), rows)


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


CHECKS = (
    Check("replicas", (("replicas", Replica),), replicas),
    Check("receiver", (("receiver", Receiver),), receiver),
    Check("slots", (("slots", Slot),), slots, monitor=False),
    Check("archiving", (("archiver", Archiver),), archiving),
    Check("wal-size", (("wal", Wal),), wal_size),
)
