"""Replication slots: who reads them, and how much of the WAL that they may keep they keep."""

from __future__ import annotations

from dataclasses import dataclass

from fabfile.database import texts, units
from fabfile.database.checks.judging import About, Check, Judged, measured, stated
from fabfile.database.checks.sections import disks
from fabfile.database.findings import Finding, Level, Table


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

    def share(self, free: float | None) -> float | None:
        """Percent of the WAL that it may keep, by its limit and by what is free; None where neither is known."""
        rooms = [room for room in (self.room, free) if room is not None]
        if not rooms:
            return None
        return 100 * self.retained / max(1.0, self.retained + max(0.0, min(rooms)))

    @property
    def limit(self) -> str:
        return (
            "which nothing limits" if self.room is None else f"and is lost {units.size(self.room)} further on"
        )

    @property
    def since(self) -> str:
        return f"{'' if self.exact else 'at least '}{units.duration(self.away)}"


def slots(about: About, found: list[Slot]) -> Judged:
    """A slot nobody reads keeps WAL until it is lost, or the disk is full."""
    wrong = [finding for one in found for finding in _of_slot(about, one)]
    yield from wrong
    if all(finding.level is Level.OK for finding in wrong):
        said = f"{len(found)} replication slots, none of them left alone."
        yield stated(about, "slots", Level.OK, said)
    free = disks.free_for_wal(about)
    rows = tuple(
        (
            texts.plain(one.name),
            one.kind,
            "yes" if one.active else "no",
            one.status,
            one.retained,
            one.share(free),
            one.room,
            None if one.active else one.away,
        )
        for one in found
    )
    columns = (
        "slot",
        "kind",
        "active",
        "status",
        "retained bytes",
        "room %",
        "bytes until lost",
        "unread seconds",
    )
    yield Table("Replication slots", columns, rows)


def _of_slot(about: About, one: Slot) -> list[Finding]:
    name, kept, subjects = texts.plain(one.name, 64), units.size(one.retained), (one.name,)
    if one.status == "lost":
        said = f"The slot {name} is lost: WAL it needs is gone, and who reads it has to be built anew."
        return [stated(about, "slots", Level.CRITICAL, said, one.ending, subjects)]
    if one.status == "unreserved":
        said = f"The slot {name} keeps {kept}, more than max_slot_wal_keep_size, and is lost at a checkpoint."
        return [stated(about, "slots", Level.CRITICAL, said, "fab db-status --section replication", subjects)]
    free = disks.free_for_wal(about)
    share = one.share(free)
    beside = f"; the disk of pg_wal has {units.size(free)} free" if free is not None else ""
    read = "is read" if one.active else f"was read by nobody for {one.since}"
    said = f"The slot {name} {read} and keeps {kept} of WAL, {one.limit}{beside}"
    # One that is read catches up, or is ended with who reads it.
    ending = "fab db-status --section replication" if one.active else one.ending
    found = []
    if share is not None:
        much = f"{said}: {share:.3g} % of what it may keep"
        found.append(measured(about, "slot-room", share, much, ending, subjects=subjects))
    if not one.active:
        found.append(measured(about, "slot-unread", one.away, said, ending, subjects=subjects))
    return found


CHECK = Check("slots", (("slots", Slot),), slots)
