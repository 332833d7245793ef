"""The folder of dumps: names, whole files, what is there, what is too old.

A dump `<moment>.dump` counts when its record `<moment>.json` stands beside it. The record is written first, so a dump
never stands without one; whatever else bears a moment's name is what a killed run left.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from database_backup.errors import FailedError, RefusedError

MOMENT = "%Y%m%dT%H%M%SZ"
NAME = re.compile(r"[0-9]{8}T[0-9]{6}Z\.dump")
RECORD = re.compile(r"[0-9]{8}T[0-9]{6}Z\.json")
UNFINISHED = ".part"
LATEST = "latest.json"
RESTORE_TEST = "restore-test.json"
CHUNK = 1 << 20
# Records and marks are for the folder's group, which looks at the database; dumps are for nobody.
RECORDED = 0o640


def utc_now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_name(folder: Path) -> str:
    """The present moment's, or one after the newest: a name says which backup is the newer one."""
    moment = datetime.now(timezone.utc)
    for newest in sorted(_dumps(folder), reverse=True)[:1]:
        last = datetime.strptime(newest.stem, MOMENT).replace(tzinfo=timezone.utc)
        moment = max(moment, last + timedelta(seconds=1))
    return f"{moment.strftime(MOMENT)}.dump"


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def free(path: Path) -> int:
    """Bytes that we may still write to the disk a path lies on."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: dict[str, Any]) -> None:
    """The file has the content or what it had before, whenever the power goes."""
    temporary = path.with_name(f".{path.name}{UNFINISHED}")
    temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    temporary.chmod(RECORDED)
    sync(temporary)
    temporary.replace(path)
    sync(path.parent)


def put_in_place(part: Path, record: dict[str, Any]) -> None:
    """Turns an unfinished dump and its record into a backup."""
    path = part.with_name(str(record["file"]))
    sync(part)
    write_whole(path.with_suffix(".json"), record)
    part.replace(path)
    sync(path.parent)


def records(folder: Path) -> list[dict[str, Any]]:
    """The records of all backups, newest first. A record that cannot be read is left out."""
    return [
        record for path in sorted(_dumps(folder), reverse=True) if (record := read(path.with_suffix(".json")))
    ]


def read(path: Path) -> dict[str, Any]:
    """The object in a file of ours; empty when there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def chosen(folder: Path, name: str) -> dict[str, Any]:
    """The record of a backup by its file's name, or of the newest. Raises RefusedError."""
    known = records(folder)
    if not known:
        raise RefusedError(f"{folder} holds no backup. Nothing was changed. Make one with: fab db-backup")
    if name == "latest":
        return known[0]
    for record in known:
        if record["file"] == name:
            return record
    raise RefusedError(
        f"{name!r} is not a backup in {folder}. Nothing was changed. The newest is {known[0]['file']}; "
        "all are listed by: fab db-restore --list"
    )


def checked(folder: Path, record: dict[str, Any]) -> Path:
    """The dump of a record, after its size and checksum were found to be those recorded. Raises FailedError."""
    path = folder / str(record["file"])
    size = path.stat().st_size
    if size != record["bytes"]:
        raise FailedError(
            f"{path} has {size} bytes, and {record['bytes']} were recorded when it was made: it was truncated or "
            "altered. It was not restored, and no database was made. Take another: fab db-restore --list"
        )
    if sha256(path) != record["sha256"]:
        raise FailedError(
            f"{path} does not have the checksum recorded when it was made: it was altered. It was not restored, and "
            "no database was made. Take another: fab db-restore --list"
        )
    return path


def mark(folder: Path, name: str, record: dict[str, Any], problem: str = "", tried: bool = True) -> None:
    """State how the last backup or restore test went, for whoever looks at the database.

    at, file, bytes, sha256: of the newest that went well, even when a later one did not; ok and detail: of the last.
    tried: False when it was refused before anything was tried, which says nothing of a backup; at is "" then when none
    has gone well yet.
    """
    now = utc_now()
    before = read(folder / name)
    if problem:
        kept = {
            key: before.get(key, empty)
            for key, empty in (("at", now if tried else ""), ("file", ""), ("bytes", 0), ("sha256", ""))
        }
        write_whole(folder / name, kept | {"ok": False, "tried": tried, "detail": problem, "tried_at": now})
        return
    good = {key: record[key] for key in ("at", "file", "bytes", "sha256", "detail")}
    write_whole(folder / name, good | {"ok": True, "tried_at": now})


def sweep(folder: Path) -> list[str]:
    """Removes what killed runs left, and makes up for a note that one of them did not write. Names what is gone."""
    gone = [path for path in folder.glob(f".*{UNFINISHED}") if path.is_file()]
    gone += [path for path in folder.glob("*.json") if _is_orphan(path)]
    for path in gone:
        path.unlink()
    for record in records(folder)[:1]:
        if str(record["at"]) > str(read(folder / LATEST).get("at", "")):
            mark(folder, LATEST, record)
    return sorted(path.name for path in gone)


def prune(folder: Path, keep: int) -> list[str]:
    """Removes all but the newest `keep` backups of each kind; names what is gone."""
    gone, seen = [], dict[str, int]()
    for record in records(folder):
        kind = str(record["kind"])
        seen[kind] = seen.get(kind, 0) + 1
        if seen[kind] > keep:
            dump = folder / str(record["file"])
            dump.unlink()
            dump.with_suffix(".json").unlink()
            gone.append(dump.name)
    return gone


def _dumps(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("*.dump") if NAME.fullmatch(path.name) and path.is_file())


def _is_orphan(path: Path) -> bool:
    return bool(RECORD.fullmatch(path.name)) and not path.with_suffix(".dump").exists()
