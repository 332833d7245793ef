"""Any moment, restored into a cluster beside the live one: what it would take, and the doing of it."""

from __future__ import annotations

import time
from typing import Any

from database_backup import files, lock, words
from database_backup.errors import BackupError, FailedError, RefusedError
from database_backup.physical import chains, continuity, seals, side, state, tool
from database_backup.physical.chains import Backup, Target
from database_backup.physical.settings import Settings
from database_backup.physical.side import Side

LOCK = ".physical-restore.lock"
RATE = "rate.json"
# WAL that is replayed, and what the server writes while it does.
SPARE = 384 << 20
GROWTH = 1.05
SHOWN = 5


def plan(settings: Settings, target: Target, now: float) -> dict[str, Any]:
    """From which backup, to which moment, what would be lost, how long and how much room. Changes nothing.

    Raises RefusedError for what cannot be restored: a moment before the first backup, in the future or behind a gap.
    """
    backups = chains.of(tool.kept(settings))
    ends, points = state.remembered(settings, state.ENDS), state.remembered(settings, state.POINTS)
    if target.kind == "time" and target.at > now:
        raise RefusedError(
            f"{target.said} is in the future; it is {chains.moment(now)} there. Nothing was changed."
        )
    backup = chains.chosen(backups, target, {name: int(each) for name, each in ends.items()}, points)
    at = _moment(target, points, now)
    kept = continuity.segments(tool.files(settings, f"archive/{settings.stanza}"))
    _refuse_a_gap(continuity.gaps(kept, backups, ""), backup, at)
    needed, room = round(backup.size * GROWTH + SPARE), state.free(settings.sides)
    seconds = _seconds(settings, backup)
    newest = max(kept, default="")
    lost = max(0, round(now - at)) if at else 0
    return {
        "backup": backup.label,
        "chain": [each.label for each in backups if each.label == backup.label or each.label in backup.label],
        "backup_ended": chains.moment(backup.ended),
        "target": target.said,
        "moment": chains.moment(at) if at else "",
        "wal": [backup.first, newest],
        "lost_seconds": lost,
        "needed": needed,
        "room": room,
        "seconds": seconds,
        "said": (
            f"From the {backup.kind} backup {backup.label} (ended {chains.moment(backup.ended)}) and the WAL from "
            f"{backup.first} on, to {target.said}. "
            + (f"What was written in the {words_of(lost)} since is not in it. " if lost else "")
            + f"It needs {words.size(needed)} of the {words.size(room)} free at {settings.sides}, and takes "
            + (f"about {words_of(seconds)}." if seconds else "a time that no restore has measured yet.")
        ),
    }


def words_of(seconds: float) -> str:
    """Such as "2 h 5 min", as one reads it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _moment(target: Target, points: dict[str, Any], now: float) -> float:
    """Seconds since 1970; 0 when only the recovery will tell."""
    if target.kind == "name":
        return float(points.get(target.value, {}).get("seconds", 0))
    return {"time": target.at, "latest": now}.get(target.kind, 0)


def _refuse_a_gap(gaps: list[continuity.Gap], backup: Backup, at: float) -> None:
    """A recovery ends at a gap; only when it is reached before the moment that is wanted."""
    for gap in gaps:
        behind = (gap.before or gap.after) > backup.first
        if behind and (not at or at > gap.since):
            raise RefusedError(
                f"{continuity.said(gap)} The moment that is wanted is, or may be, behind that. Nothing was changed. "
                f"The last that can be restored there is {chains.moment(gap.since)}: fab db-restore --time=…"
            )


def _seconds(settings: Settings, backup: Backup) -> float:
    rate = float(files.read(settings.folder / RATE).get("bytes_a_second", 0))
    return round(backup.size / rate, 1) if rate else 0


def restore(settings: Settings, target: Target, into: str) -> dict[str, Any]:
    """Restores into a side cluster, which stays and runs. Raises RefusedError before anything changed, FailedError with
    what is left, LockHeldError.
    """
    with lock.held(settings.folder / LOCK, f"a restore of {settings.stanza}") as descriptor:
        swept = side.sweep(settings)
        found = side.free_name(settings, into)
        wanted = planned(settings, target)
        result = perform(settings, found, target, wanted, descriptor)
        found.finish()
    where = (
        f"psql --host={found.socket} --port={result['port']} --username=slipway_backup {settings.database}"
    )
    detail = (
        f"The cluster {into} holds {target.said}, from {wanted['backup']}, in {result['seconds']} s. It runs beside "
        f"the live one, on a socket of its own that no service reaches: {where}"
    )
    return {**wanted, **result, "name": into, "psql": where, "swept": swept, "detail": detail}


def refuse_for_room(settings: Settings, planned: dict[str, Any]) -> None:
    """Raises RefusedError where a restore may fill the disk."""
    if planned["room"] < planned["needed"]:
        raise RefusedError(
            f"{settings.sides} has {words.size(planned['room'])} free, and this restore may need "
            f"{words.size(planned['needed'])}. Nothing was changed. Free some first."
        )


def planned(settings: Settings, target: Target) -> dict[str, Any]:
    """The plan, when the server's newest WAL is archived and there is room. Raises RefusedError."""
    now = time.time()
    found = plan(settings, target, now)
    refuse_for_room(settings, found)
    # What is not archived yet would not be restored; of a server that is away nothing more can be.
    try:
        late = state.archived(settings)
    except FailedError:
        return found
    if late:
        raise RefusedError(
            f"The newest WAL is not in the repository: {late}. Nothing was changed. docs/runbooks/db-archiving.md"
        )
    # Asked again: that WAL may lie behind a gap.
    return plan(settings, target, now)


def perform(
    settings: Settings,
    found: Side,
    target: Target,
    planned: dict[str, Any],
    descriptor: int,
    quick: bool = False,
) -> dict[str, Any]:
    """Fills a side and starts it; whatever fails leaves nothing. quick: as Side.start has it."""
    began = time.monotonic()
    try:
        found.lay_out({"target": target.said, "backup": planned["backup"], "at": files.utc_now()})
        tool.perform(
            settings, "restore", f"--pg1-path={found.data}", f"--set={planned['backup']}",
            f"--tablespace-map-all={found.folder}/tablespaces", *words_for(settings, target), keeping=[descriptor],
        )  # fmt: skip
        copied = time.monotonic()
        found.start(quick)
    except (BackupError, OSError) as failure:
        full = tool.full(settings.sides)
        found.remove()
        named = seals.broken(settings, planned["chain"])
        damaged = f" Files of the backup are damaged: {', '.join(named[:SHOWN])}." if named else ""
        raise FailedError(
            f"{target.said} was not restored: {failure}.{full}{damaged} What had been made for it was removed; the "
            "live cluster and the repository are as they were."
        ) from None
    seconds = round(time.monotonic() - began, 2)
    size = sum(path.stat().st_size for path in found.data.rglob("*") if path.is_file())
    files.write_whole(
        settings.folder / RATE, {"bytes_a_second": size / max(seconds, 0.1), "at": files.utc_now()}
    )
    return {
        "port": found.about["port"],
        "seconds": seconds,
        "copied_seconds": round(copied - began, 2),
        "bytes": size,
    }


def words_for(settings: Settings, target: Target) -> list[str]:
    """What pgBackRest is told of a moment. One that a restore in place undid lies on the timeline before that."""
    if target.kind == "latest":
        return []
    value = (
        time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(target.at)) + f".{round(target.at % 1 * 1e6):06d}+00"
    )
    said = [f"--type={target.kind}", f"--target={value if target.kind == 'time' else target.value}"]
    undone = max(
        (float(each["seconds"]) for each in state.remembered(settings, state.TIMELINES).values()), default=0.0
    )
    at = _moment(target, state.remembered(settings, state.POINTS), 0)
    return [
        *said, "--target-action=promote", *(["--target-exclusive"] if target.kind == "xid" else []),
        *(["--target-timeline=current"] if at < undone else []),
    ]  # fmt: skip


def drop(settings: Settings, name: str) -> str:
    """Stops a side cluster and removes it. Raises RefusedError when there is none."""
    with lock.held(settings.folder / LOCK, f"a restore of {settings.stanza}"):
        side.sweep(settings)
        there = {each.name: each for each in side.all_of(settings)}
        if name not in there:
            raise RefusedError(
                f"There is no restored cluster {name!r}; there is {', '.join(there) or 'none'}. Nothing was changed."
            )
        there[name].remove()
    return f"The restored cluster {name} was stopped and removed."
