"""What is remembered beside the repository: marks for db-status, restore points, where transactions were."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from database_backup import files, lock
from database_backup.errors import RefusedError
from database_backup.physical.chains import moment
from database_backup.physical.settings import Settings
from database_backup.server import Session

LOOK = "look.json"
POINTS = "points.json"
ENDS = "ends.json"
MOST = 200
POINT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,62}")
SEGMENT_NAME = re.compile(r"[0-9A-F]{24}")
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


def remember(settings: Settings, name: str, key: str, value: Any) -> None:
    """Adds to a file of ours; the oldest go."""
    found = {**remembered(settings, name), key: value}
    files.write_whole(settings.folder / name, dict(list(found.items())[-MOST:]))


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


def last_archived(session: Session) -> str:
    """The last segment that the server took for kept; "" when it said none since its statistics began."""
    (last,) = session.rows(LAST_ARCHIVED)
    return last[:24] if SEGMENT_NAME.match(last) else ""


def free(path: Path) -> int:
    """Bytes that we may still write there, or where it will be."""
    while not path.exists():
        path = path.parent
    return files.free(path)
