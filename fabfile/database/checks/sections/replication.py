"""Standbys and who else receives WAL, archiving, and the WAL that waits for them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fabfile.database import texts, units
from fabfile.database.checks.judging import About, Check, Judged, measured, named, runbook, stated
from fabfile.database.checks.sections import disks, slots
from fabfile.database.findings import Finding, Level, Table

# Of max_wal_size: as much again may be there before a checkpoint is through.
LEAST_ROOM = 2
# It says that WAL is kept, and keeps none: archiving can then begin without a restart.
NOWHERE = re.compile(r"\s*(:|(/usr)?(/bin/)?true)(\s.*)?", re.DOTALL)


@dataclass(frozen=True)
class Replica:
    """kind: standby, receiver (it stores WAL and replays none) or logical. lag: bytes written here that it has not
    replayed, None while it has not said so.
    """

    application: str
    address: str
    state: str
    sync: str
    kind: str
    lag: float | None
    lag_seconds: float

    @property
    def name(self) -> str:
        return texts.plain(self.application or self.address, 40)


@dataclass(frozen=True)
class Receiver:
    """behind: bytes received and not replayed. seconds: since the last transaction it replayed, if it ever did.

    archive_only: it has a restore_command and no primary to ask.
    """

    standby: bool
    status: str | None
    paused: bool
    behind: float
    seconds: float
    archive_only: bool = False
    replayed: bool = True


@dataclass(frozen=True)
class Archiver:
    """seconds: since WAL was last archived. ready: files that wait."""

    mode: str
    command: str
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
    """As many standbys as the inventory expects, none of them far behind; who else receives WAL is none of them."""
    standbys = [one for one in found if one.kind == "standby"]
    streaming = [one for one in standbys if one.state in ("streaming", "catchup")]
    if not about.standby:
        missing = about.replicas - len(streaming)
        is_are = "standby is" if len(streaming) == 1 else "standbys are"
        yield stated(
            about,
            "replicas",
            Level.CRITICAL if missing > 0 else Level.OK,
            f"{len(streaming)} {is_are} connected, {about.replicas} expected by db_status_replicas{_beside(found)}.",
            "fab db-status --section replication",
        )
    known = [one for one in standbys if one.lag is not None]
    if known:
        worst = max(known, key=lambda one: one.lag or 0)
        said = f"The standby {worst.name} is {units.size(worst.lag)} behind"
        yield measured(about, "replica-lag", worst.lag or 0, said, "fab db-status --section replication")
    rows = tuple(
        (texts.plain(one.application), one.address, one.kind, one.state, one.sync, one.lag, one.lag_seconds)
        for one in found
    )
    columns = ("application", "address", "kind", "state", "sync", "lag bytes", "replay lag seconds")
    yield Table("Who receives WAL", columns, rows)


def _beside(found: list[Replica]) -> str:
    receivers = [one.name for one in found if one.kind == "receiver"]
    logical = [one.name for one in found if one.kind == "logical"]
    said = f"; {named(receivers)} stores WAL and replays none" if receivers else ""
    return said + (f"; {named(logical)} reads a logical slot" if logical else "")


def receiver(about: About, found: list[Receiver]) -> Judged:
    """What a standby says of itself; a primary has nothing to say."""
    one = found[0]
    if not one.standby:
        return
    if one.paused:
        yield stated(
            about, "replay", Level.WARN, "Replay is paused on this standby.", "SELECT pg_wal_replay_resume();"
        )
    if one.archive_only:
        yield _of_an_archive(about, one)
        return
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


def _of_an_archive(about: About, one: Receiver) -> Finding:
    """Nothing says how much waits in the archive: the age of what was replayed last is all there is."""
    fed = "This standby is fed from an archive alone"
    if not one.replayed:
        said = f"{fed}, and has replayed no transaction yet."
        return stated(about, "archive-replay", Level.UNKNOWN, said, "journalctl -u postgresql@*")
    said = f"{fed}; the last transaction that it replayed is {units.duration(one.seconds)} old"
    return measured(about, "archive-replay", one.seconds, said, "journalctl -u postgresql@*")


def archiving(about: About, found: list[Archiver]) -> Judged:
    """Whether WAL gets away."""
    one = found[0]
    if one.mode == "off" or NOWHERE.fullmatch(one.command):
        yield _nowhere(about, one)
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


def _nowhere(about: About, one: Archiver) -> Finding:
    """Right where nobody wants physical backups."""
    why = "archive_mode is off" if one.mode == "off" else f"{texts.plain(one.command, 40)} keeps nothing"
    if not about.physical_expected:
        return stated(about, "archiving", Level.OK, f"WAL is not archived: {why}.")
    said = f"WAL goes nowhere ({why}), and the inventory wants physical backups: no moment can be restored."
    return stated(
        about, "archiving", Level.CRITICAL, said, "ansible-playbook -i inventory/ENV playbooks/database.yml"
    )


def wal_size(about: About, found: list[Wal]) -> Judged:
    """The size of pg_wal in percent of what the settings have it stay within."""
    one = found[0]
    percent = 100 * one.size / one.maximum if one.maximum else 0
    said = (
        f"pg_wal has {units.size(one.size)}, {percent:.0f} % of what its settings have it stay within "
        f"({units.size(one.maximum)})"
    )
    yield measured(about, "wal-size", percent, said, "fab db-status --section replication")
    free = disks.free_for_wal(about)
    if free is not None:
        short = free + one.size < LEAST_ROOM * one.maximum
        word = "less than" if short else "at least"
        room, twice = units.size(free + one.size), units.size(LEAST_ROOM * one.maximum)
        said = f"The disk of pg_wal has room for {room} of WAL, {word} twice that much ({twice})."
        yield stated(about, "wal-room", Level.WARN if short else Level.OK, said, "fab db-sizes")


CHECKS = (
    Check("replicas", (("replicas", Replica),), replicas),
    Check("receiver", (("receiver", Receiver),), receiver),
    slots.CHECK,
    Check("archiving", (("archiver", Archiver),), archiving),
    Check("wal-size", (("wal", Wal),), wal_size),
)
