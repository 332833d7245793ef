"""A backup: a dump and the counts of the same snapshot, checked before either has its name."""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path
from typing import Any

from database_backup import contents, files, lock, words
from database_backup.errors import BackupError, FailedError, RefusedError
from database_backup.server import Session, run
from database_backup.settings import Settings

LOCK = ".backup.lock"
FORMAT = 1
# What is left for others, and by how much a dump may outgrow what the last one lets expect.
SPARE = 1 << 20
GROWTH = 1.25
# A migration that waits for a lock would make every query behind the dump wait as well.
LOCK_WAIT = "--lock-wait-timeout=30s"
TABLE_DATA = re.compile(r"^\d+; \d+ \d+ TABLE DATA ", re.MULTILINE)


def backup(settings: Settings, kind: str, reason: str, release: str, keep: int) -> dict[str, Any]:
    """Makes a backup and returns its record; the oldest of its kind go. kind: routine, hand or point.

    Raises LockHeldError, RefusedError (no room) or FailedError; nothing is left of the attempt but its mark.
    """
    folder = settings.folder
    with lock.held(folder / LOCK, f"a backup of {settings.database}") as descriptor:
        try:
            swept = files.sweep(folder)
            record = _made(settings, descriptor, kind, reason, release)
            files.mark(folder, files.LATEST, record)
            pruned = files.prune(folder, keep)
        except (BackupError, OSError) as failure:
            raise _failed(settings, failure) from None
    return record | {"swept": swept, "pruned": pruned}


def _made(settings: Settings, descriptor: int, kind: str, reason: str, release: str) -> dict[str, Any]:
    began, at = time.monotonic(), files.utc_now()
    name = files.new_name(settings.folder)
    part = settings.folder / f".{name}{files.UNFINISHED}"
    with Session(settings, settings.database, "backup") as session:
        session.ask("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;")
        (snapshot,) = session.rows("SELECT to_json(pg_export_snapshot());")
        _refuse_a_full_disk(settings, session.rows(contents.ABOUT)[0]["database_bytes"])
        found = contents.read(session)
        run(
            settings, "backup", "pg_dump", "--format=custom", "--no-password", LOCK_WAIT,
            f"--snapshot={snapshot}", f"--file={part}", f"--dbname={settings.database}", keeping=[descriptor],
        )  # fmt: skip
    listed = len(TABLE_DATA.findall(run(settings, "backup", "pg_restore", "--list", str(part))))
    if listed < len(found["tables"]):
        raise FailedError(
            f"the dump holds the data of {listed} tables, and the database has {len(found['tables'])}"
        )
    seconds = round(time.monotonic() - began, 2)
    record = {
        "format": FORMAT,
        "at": at,
        "file": name,
        "kind": kind,
        "reason": reason,
        "database": settings.database,
        "release": release or _live(settings.live),
        **found,
        "bytes": part.stat().st_size,
        "sha256": files.sha256(part),
        "seconds": seconds,
        "pg_dump": run(settings, "backup", "pg_dump", "--version").split()[2],
    }
    record["detail"] = (
        f"{words.rows(found['tables'])}, schema {found['revision'] or 'without a revision'}, "
        f"{words.size(record['bytes'])} in {seconds} s"
    )
    files.put_in_place(part, record)
    return record


def _refuse_a_full_disk(settings: Settings, database_bytes: int) -> None:
    expected = float(database_bytes)
    for last in files.records(settings.folder)[:1]:
        expected = last["bytes"] / max(last["database_bytes"], 1) * database_bytes * GROWTH
    room = files.free(settings.folder)
    if room < expected + SPARE:
        raise RefusedError(
            f"the disk of {settings.folder} has {words.size(room)} free, and a dump of {settings.database} "
            f"({words.size(database_bytes)}) may need {words.size(expected + SPARE)}. Free some, or keep fewer backups "
            "(backups_keep)"
        )


def _live(link: Path) -> str:
    """The live release's id; empty on a host that serves nothing."""
    try:
        return os.path.basename(os.readlink(link))
    except OSError:
        return ""


def _failed(settings: Settings, failure: Exception) -> BackupError:
    """The failure as a sentence with what is left, after it was marked and its unfinished file removed."""
    reason = f"{failure.strerror} ({failure.filename})" if isinstance(failure, OSError) else str(failure)
    # A disk without room for a note is what the sentence below speaks of.
    with contextlib.suppress(OSError):
        for part in settings.folder.glob(f".*{files.UNFINISHED}"):
            part.unlink()
        files.mark(settings.folder, files.LATEST, {}, f"The backup at {files.utc_now()} failed: {reason}.")
    newest = files.records(settings.folder)[:1]
    left = f"The newest is {newest[0]['file']} of {newest[0]['at']}." if newest else "There is no other."
    kind = RefusedError if isinstance(failure, RefusedError) else FailedError
    return kind(
        f"No backup of {settings.database} was made: {reason}. {left} What to do: docs/runbooks/backup-failed.md"
    )
