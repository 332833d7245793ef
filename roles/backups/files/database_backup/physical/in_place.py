"""The live cluster becomes what it was: proven beside first, then exchanged by two renames; what was live is kept."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from database_backup import files, lock
from database_backup.errors import BackupError, FailedError, RefusedError
from database_backup.physical import making, restoring, side, state, tool
from database_backup.physical.chains import Target
from database_backup.physical.settings import Settings
from database_backup.physical.side import Side
from database_backup.server import Session, shown

NAME = "in_place"
JOURNAL = "in-place.json"
TIMELINE = "SELECT to_json(substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8));"
PAUSE = 0.3
# A server that neither comes up nor ends is looked for this long; the replay itself has no limit.
SILENT_SECONDS = 30.0


def restore(settings: Settings, target: Target, database: str) -> dict[str, Any]:
    """Puts a moment in the place of the live cluster, whose folder is kept beside it.

    database: the name, typed once more. Raises RefusedError before anything changed, FailedError with what is live,
    LockHeldError. A killed run is finished, or undone, by the next.
    """
    if database != settings.database:
        raise RefusedError(
            f"The database that would go back in time is {settings.database}, and {database!r} was typed. Nothing was "
            "changed."
        )
    with lock.held(settings.folder / restoring.LOCK, f"a restore of {settings.stanza}") as descriptor:
        finished = _made_good(settings)
        if finished:
            return finished
        side.sweep(settings)
        _refuse_the_place(settings)
        lives = state.system(settings)
        planned = _planned(settings, target, lives)
        safety = _safety(settings, lives)
        found = _proven(settings, target, planned, descriptor)
        return _exchanged(settings, found, {**planned, "safety": safety})


def _refuse_the_place(settings: Settings) -> None:
    data = settings.data
    spaces = data / "pg_tblspc"
    why = ""
    if data.is_symlink() or os.path.ismount(data):
        why = f"{data} is a disk of its own or a link, and cannot be renamed"
    elif settings.sides.stat().st_dev != data.parent.stat().st_dev:
        why = f"{settings.sides} and {data.parent} are not on one disk"
    elif spaces.is_dir() and any(spaces.iterdir()):
        why = "the cluster has tablespaces, whose folders both would have"
    if why:
        raise RefusedError(
            f"This cluster is not restored in place: {why}. Nothing was changed. Restore beside it (without "
            "--in-place), and "
            "move what is wanted: docs/runbooks/data-deleted.md"
        )


def _planned(settings: Settings, target: Target, lives: str) -> dict[str, Any]:
    """As a restore beside; of another cluster than the repository's, no WAL is waited for."""
    if lives and lives != tool.system(tool.kept(settings)):
        planned = restoring.plan(settings, target, time.time())
        restoring.refuse_for_room(settings, planned)
        return planned
    return restoring.planned(settings, target)


def _safety(settings: Settings, lives: str) -> str:
    """A named moment and a backup of what is live; "" when it does not answer, or is not what the repository is of."""
    if not lives or lives != tool.system(tool.kept(settings)):
        return ""
    name = f"before-in-place-{files.utc_now().replace(':', '')}"
    state.point(settings, name, "restore in place")
    making.backup(settings, "incr")
    return name


def _proven(settings: Settings, target: Target, planned: dict[str, Any], descriptor: int) -> Side:
    """The moment, restored and reached in a folder beside; the live cluster goes on meanwhile."""
    found = Side(settings, NAME)
    fetched = f"{settings.tool} --config={settings.config} --stanza={settings.stanza}"
    try:
        found.lay_out({"target": target.said, "backup": planned["backup"], "at": files.utc_now()})
        tool.perform(
            settings, "restore", f"--pg1-path={found.data}", f"--set={planned['backup']}",
            f"--recovery-option=restore_command={fetched} archive-get %f %p",
            *restoring.words_for(settings, target), keeping=[descriptor],
        )  # fmt: skip
        beside = {"restore_command": f"{fetched} --pg1-path={found.data} archive-get %f %p"}
        found.reach({**beside, **({"recovery_target": "immediate"} if target.kind == "latest" else {})})
    except (BackupError, OSError) as failure:
        found.remove()
        raise FailedError(
            f"{target.said} was not restored: {failure}. What had been made for it was removed; the live cluster and "
            "the "
            "repository are as they were."
        ) from None
    return found


def _exchanged(settings: Settings, found: Side, planned: dict[str, Any]) -> dict[str, Any]:
    stamp = files.utc_now().replace(":", "").replace("-", "")
    kept = settings.data.with_name(f"{settings.data.name}.before-{stamp}")
    swap = {**planned, "step": "swap", "kept": str(kept), "began": time.time()}
    files.write_whole(settings.folder / JOURNAL, swap)
    try:
        _control(settings, "stop")
        _rename(settings.data, kept)
        _rename(found.data, settings.data)
        _started(settings)
    except (BackupError, OSError) as failure:
        said = _gone_back(settings, kept)
        raise FailedError(f"{planned['target']} does not start in its place: {failure}. {said}") from None
    return _finished(settings, swap)


def _rename(path: Path, to: Path) -> None:
    path.rename(to)
    files.sync(to.parent)


def _control(settings: Settings, what: str) -> None:
    words = [what if each == "{}" else each for each in settings.control]
    done = subprocess.run(
        words, cwd="/", capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    if done.returncode != 0:
        raise FailedError(f"the server does not {what}: {shown(done.stderr or done.stdout)}")
    if what == "stop" and _runs(settings):
        raise FailedError("the server was stopped, and runs")


def _runs(settings: Settings) -> bool:
    return side.runs_in(side.pid_of(settings.data), settings.data)


def _started(settings: Settings) -> None:
    """Starts what lies in the place, and waits until it takes writes."""
    if not _runs(settings):
        _control(settings, "start")
    seen = time.monotonic()
    while not side.recovered(settings, settings.socket, settings.port):
        if _runs(settings):
            seen = time.monotonic()
        elif time.monotonic() - seen > SILENT_SECONDS:
            raise FailedError("the server ended while it recovered; its log says why")
        time.sleep(PAUSE)


def _gone_back(settings: Settings, kept: Path) -> str:
    """What was live lives again, whatever of the exchange was done; a sentence on how that went."""
    found = Side(settings, NAME)
    with suppress(BackupError):
        _control(settings, "stop")
    if kept.exists():
        if settings.data.exists():
            failed = (
                found.data
                if not found.data.exists()
                else settings.data.with_name(f"{settings.data.name}.failed")
            )
            _rename(settings.data, failed)
        _rename(kept, settings.data)
    try:
        _started(settings)
    except BackupError as failure:
        return f"What was live is back in {settings.data}, and does not start: {failure}."
    (settings.folder / JOURNAL).unlink(missing_ok=True)
    found.remove()
    return "What was live before is live again; nothing of it was changed."


def _made_good(settings: Settings) -> dict[str, Any]:
    """Finishes what a killed run had exchanged, and says so; undoes what it had not, and says nothing. {} then."""
    swap = files.read(settings.folder / JOURNAL)
    if swap.get("step") != "swap":
        return {}
    kept = Path(str(swap["kept"]))
    if kept.exists() and settings.data.exists():
        try:
            _started(settings)
        except BackupError as failure:
            raise FailedError(
                f"{swap['target']} does not start in its place: {failure}. {_gone_back(settings, kept)}"
            ) from None
        result = _finished(settings, swap)
        return {
            **result,
            "detail": f"A run that was cut off is finished, and nothing else was done. {result['detail']}",
        }
    said = _gone_back(settings, kept)
    if (settings.folder / JOURNAL).exists():
        raise FailedError(f"A restore in place was cut off. {said} docs/runbooks/database-host-lost.md")
    return {}


def _finished(settings: Settings, swap: dict[str, Any]) -> dict[str, Any]:
    """Archiving goes on, on a timeline of its own, and a full backup stands on it."""
    down = round(time.time() - float(swap["began"]), 2)
    with Session(settings.server(), "postgres", "restore in place") as session:
        (timeline,) = session.rows(TIMELINE)
    state.remember(
        settings, state.TIMELINES, timeline, {"seconds": float(swap["began"]), "target": swap["target"]}
    )
    found = Side(settings, NAME)
    files.write_whole(settings.folder / JOURNAL, {**swap, "step": "done"})
    found.remove()
    try:
        late = state.archived(settings)
        after = making.backup(settings, "full")["label"] if not late else ""
        problem = late
    except BackupError as failure:
        after, problem = "", str(failure)
    back = f"what it undid is kept as the restore point {swap['safety']}, and " if swap.get("safety") else ""
    proof = (
        f"the full backup {after} stands on it"
        if after
        else f"no backup stands on it yet ({problem}): fab db-backup --type=full"
    )
    return {
        **swap, "step": "done", "down_seconds": down, "timeline": timeline, "backup_after": after,
        "detail": (
            f"The live cluster is {swap['target']}, from {swap['backup']}; it was away for {down} s. It goes on on "
            "timeline "
            f"{int(timeline, 16)}, and {proof}. What was live before lies in {swap['kept']}: {back}it may be removed "
            "when nobody "
            "misses anything."
        ),
    }  # fmt: skip
