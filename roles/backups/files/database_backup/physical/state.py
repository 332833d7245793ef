"""What is remembered beside the repository: marks for db-status, restore points, where transactions were."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from database_backup import files, lock
from database_backup.errors import FailedError, RefusedError
from database_backup.physical.chains import moment
from database_backup.physical.settings import Settings
from database_backup.server import Session

LOOK = "look.json"
IDENTITY = "identity.json"
POINTS = "points.json"
ENDS = "ends.json"
TIMELINES = "timelines.json"
COUNTED = "counted.json"
SEALS = "seals"
REMEMBERED = (IDENTITY, POINTS, ENDS, TIMELINES, COUNTED)
# The folder in the repository in which these lie, too.
BESIDE = "slipway"
MOST = 200
POINT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,62}")
SEGMENT_NAME = re.compile(r"[0-9A-F]{24}")
SYSTEM = "SELECT to_json(system_identifier::text) FROM pg_control_system();"
LAST_ARCHIVED = "SELECT to_json(coalesce(last_archived_wal, '')) FROM pg_stat_archiver;"
SEGMENT = "SELECT to_json(setting::bigint) FROM pg_settings WHERE name = 'wal_segment_size';"
NEXT = "SELECT to_json(pg_snapshot_xmax(pg_current_snapshot())::text::bigint);"
# A commit after the moment tells a recovery that it has come to it; the rest of the segment is not waited for.
SWITCHED = """
SELECT to_json(pg_current_xact_id()::text);
SELECT to_json(pg_walfile_name(pg_switch_wal()));
"""
ARCHIVE_SECONDS = 90.0
PAUSE = 0.25


def remembered(settings: Settings, name: str) -> dict[str, Any]:
    """What a file of ours has, {} when there is none."""
    return files.read(settings.folder / name)


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Waits for its turn: a file of ours is read and written by one at a time, for moments."""
    descriptor = os.open(settings.folder / ".state.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def remember(settings: Settings, name: str, key: str, value: Any) -> None:
    """Adds to a file of ours; the oldest go."""
    with alone(settings):
        found = {**remembered(settings, name), key: value}
        files.write_whole(settings.folder / name, dict(list(found.items())[-MOST:]))


def update(settings: Settings, name: str, **values: Any) -> dict[str, Any]:
    """Writes these values into a file of ours, and returns all that it has."""
    with alone(settings):
        found = {**remembered(settings, name), **values}
        files.write_whole(settings.folder / name, found)
    return found


def point(settings: Settings, name: str, reason: str) -> dict[str, Any]:
    """Sets a named restore point on the live server, and has it archived. Raises RefusedError."""
    if not POINT.fullmatch(name):
        raise RefusedError(
            f"{name!r} is no name for a restore point: letters, digits and _ . : -, 63 at most. Nothing was changed."
        )
    with lock.held(settings.folder / ".point.lock", "a restore point"):
        return _set(settings, name, reason)


def _set(settings: Settings, name: str, reason: str) -> dict[str, Any]:
    if name in remembered(settings, POINTS):
        raise RefusedError(
            f"The restore point {name} is set already. Nothing was changed. Choose another name."
        )
    with Session(settings.server(), "postgres", "restore point") as session:
        (place,) = session.rows("SELECT to_json(pg_create_restore_point(:'point')::text);", point=name)
        session.ask(SWITCHED)
    seconds = time.time()
    found = {"name": name, "at": moment(seconds), "seconds": seconds, "lsn": place, "reason": reason}
    remember(settings, POINTS, name, found)
    return found


def archived(settings: Settings) -> str:
    """Has the live server's WAL of this moment archived; "" or why it is not. Raises FailedError when it is away."""
    with Session(settings.server(), "postgres", "restore") as session:
        wanted = session.rows(SWITCHED)[-1]
        until = time.monotonic() + ARCHIVE_SECONDS
        while time.monotonic() < until:
            last = last_archived(session)
            if last >= wanted:
                return ""
            time.sleep(PAUSE)
    return f"the server has archived its WAL up to {last or 'nothing'} and not {wanted}"


def system(settings: Settings) -> str:
    """The identifier of the live cluster, "" when it does not answer."""
    try:
        with Session(settings.server(), "postgres", "look") as session:
            return str(session.rows(SYSTEM)[0])
    except FailedError:
        return ""


def last_archived(session: Session) -> str:
    """The last segment that the server took for kept; "" when it said none since its statistics began."""
    (last,) = session.rows(LAST_ARCHIVED)
    return last[:24] if SEGMENT_NAME.match(last) else ""


def mirror(settings: Settings) -> None:
    """Puts what a restore elsewhere needs beside the repository: points, transactions, seals, whose it is.

    A repository that is away gets none: whoever looks says that it is away.
    """
    if not (settings.repository / "backup" / settings.stanza).is_dir():
        return
    into = settings.repository / BESIDE / settings.stanza
    # For whoever copies the repository: the folder above gives on its group, which a chmod by others would end.
    mask = os.umask(0o027)
    try:
        (into / SEALS).mkdir(parents=True, exist_ok=True)
    finally:
        os.umask(mask)
    with alone(settings):
        paths = [settings.folder / name for name in REMEMBERED]
        for path in (*paths, *(settings.folder / SEALS).glob("*.json")):
            copy = into / path.relative_to(settings.folder)
            if path.exists() and (not copy.exists() or copy.read_bytes() != path.read_bytes()):
                files.write_whole(copy, files.read(path))
        for copy in (into / SEALS).glob("*.json"):
            if not (settings.folder / SEALS / copy.name).exists():
                copy.unlink()


def adopt(settings: Settings) -> list[str]:
    """Takes over what lies beside a repository that came from elsewhere; names it."""
    beside = settings.repository / BESIDE / settings.stanza
    (settings.folder / SEALS).mkdir(mode=0o750, exist_ok=True)
    found = [path for path in beside.rglob("*.json") if path.is_file()]
    for path in found:
        files.write_whole(settings.folder / path.relative_to(beside), files.read(path))
    return sorted(path.name for path in found)


def free(path: Path) -> int:
    """Bytes that we may still write there, or where it will be."""
    while not path.exists():
        path = path.parent
    return files.free(path)
