"""What goes from a copy: files that have been gone at the database's host for so many days, by this host's clock."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from database_backup import files
from database_backup.copying.settings import Fetching

GONE = "gone.json"
LOOKED = "looked"
DAY = 86400
EVERY = 3600.0
# The lists of what there is: these are ours to keep.
LISTS = ("archive.info", "archive.info.copy", "backup.info", "backup.info.copy")


def due(settings: Fetching, copy: Path) -> bool:
    """Whether it was last looked for more than an hour ago."""
    looked = float(files.read(copy.parent / GONE).get(LOOKED, 0))
    return not 0 <= time.time() - looked < EVERY


def age(settings: Fetching, copy: Path, there: set[str] | None) -> list[str]:
    """Notes what is gone there, forgets what is back, and removes what has been gone for long; names that.

    there: paths in the repository, None when nobody looked. The newest backup that is here never goes.
    """
    if there is None:
        return []
    now = time.time()
    before = files.read(copy.parent / GONE).get("files", {})
    here = {path.relative_to(copy).as_posix() for top in ("archive", "backup") for path in (copy / top).rglob("*")
            if path.is_file() and path.name not in LISTS}  # fmt: skip
    gone = {name: float(before.get(name, now)) for name in here - there}
    old = sorted(name for name, since in gone.items() if now - since > settings.keep_days * DAY)
    if not there & here:
        # Nothing of this is left there: it is the only copy.
        old = []
    for name in old:
        (copy / name).unlink()
        del gone[name]
    _empty_folders(copy)
    files.write_whole(copy.parent / GONE, {LOOKED: now, "files": gone})
    for path in (copy.parent / "earlier").glob("*"):
        if now - path.stat().st_mtime > settings.keep_days * DAY:
            shutil.rmtree(path)
    return old


def _empty_folders(copy: Path) -> None:
    for path in sorted((copy / "backup").rglob("*"), key=lambda each: -len(each.parts)):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
