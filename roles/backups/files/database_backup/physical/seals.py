"""The checksum of every file of a backup as it lies in the repository: what changed since is named.

Before 2.39 it has no `verify`, and a restore that meets a damaged file does not say which.
"""

from __future__ import annotations

from pathlib import Path

from database_backup import files
from database_backup.physical.settings import Settings
from database_backup.physical.state import SEALS


def _backup(settings: Settings, label: str) -> Path:
    return settings.repository / "backup" / settings.stanza / label


def _seal(settings: Settings, label: str) -> Path:
    return settings.folder / SEALS / f"{label}.json"


def make(settings: Settings, label: str) -> int:
    """Seals a backup that was just made; how many files it has."""
    top = _backup(settings, label)
    sums = {
        path.relative_to(top).as_posix(): files.sha256(path)
        for path in sorted(top.rglob("*"))
        if path.is_file()
    }
    (settings.folder / SEALS).mkdir(mode=0o750, exist_ok=True)
    files.write_whole(_seal(settings, label), sums)
    return len(sums)


def broken(settings: Settings, labels: list[str]) -> list[str]:
    """The files of these backups that are gone or not what they were, as label/path. One that has no seal has none."""
    return [
        f"{label}/{name}"
        for label in labels
        for name, recorded in files.read(_seal(settings, label)).items()
        if _sum(_backup(settings, label) / name) != recorded
    ]


def _sum(path: Path) -> str:
    try:
        return files.sha256(path)
    except OSError:
        return ""


def prune(settings: Settings, labels: list[str]) -> None:
    """Removes the seals of backups that are not kept any more."""
    for path in (settings.folder / SEALS).glob("*.json"):
        if path.stem not in labels:
            path.unlink()
