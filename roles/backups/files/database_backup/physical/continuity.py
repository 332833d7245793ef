"""Whether the WAL in the repository has every segment: pgBackRest itself notices a gap when a restore ends at it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from database_backup.physical.chains import Backup

NAME = re.compile(r"(?:.*/)?(?P<segment>[0-9A-F]{24})-[0-9a-f]{40}(?:\.[a-z0-9]+)?")
TIMELINE = 8
SEGMENT_BYTES = 16 << 20


@dataclass(frozen=True)
class Gap:
    """after, before: the segments at its sides; before is "" at the end. missing: how many. since: when `after`
    was kept, seconds. closed_by: the first backup that began behind it, "" when no moment behind it can be restored.
    """

    after: str
    before: str
    missing: int
    since: int
    closed_by: str


def number(segment: str, size: int = SEGMENT_BYTES) -> int:
    """The place of a segment in its timeline."""
    return int(segment[8:16], 16) * ((1 << 32) // size) + int(segment[16:], 16)


def segments(files: dict[str, dict[str, Any]]) -> dict[str, int]:
    """{segment: when it was kept, seconds} of a listing of the archive."""
    found = ((NAME.fullmatch(path), about) for path, about in files.items())
    return {name["segment"]: int(about.get("time", 0)) for name, about in found if name}


def gaps(kept: dict[str, int], backups: list[Backup], archived: str, size: int = SEGMENT_BYTES) -> list[Gap]:
    """The holes from the oldest backup on. archived: the last one that the server took for kept, "" when unknown."""
    if not backups:
        return []
    found = []
    for timeline, names in _timelines(kept).items():
        oldest = min((each.first for each in backups if each.first.startswith(timeline)), default="")
        wanted = [name for name in names if name >= oldest]
        if oldest and (not wanted or wanted[0] > oldest):
            found.append(_gap("", oldest, wanted[0] if wanted else "", kept, backups, size))
        for one, other in pairwise(wanted):
            if number(other, size) != number(one, size) + 1:
                found.append(_gap(one, "", other, kept, backups, size))
        newest = wanted[-1] if wanted else ""
        if archived.startswith(timeline) and newest and archived > newest:
            missing = number(archived, size) - number(newest, size)
            found.append(Gap(newest, "", missing, kept[newest], ""))
    return found


def _timelines(kept: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in sorted(kept):
        found.setdefault(name[:TIMELINE], []).append(name)
    return found


def _gap(one: str, wanted: str, other: str, kept: dict[str, int], backups: list[Backup], size: int) -> Gap:
    first = number(one, size) + 1 if one else number(wanted, size)
    missing = number(other, size) - first if other else 1
    behind = other and next((each.label for each in backups if each.first >= other), "")
    return Gap(one, other, missing, kept.get(one, 0), behind or "")


def said(gap: Gap) -> str:
    """A gap as a sentence."""
    where = f"after {gap.after}" if gap.after else f"before {gap.before}"
    until = (
        f"until the backup {gap.closed_by} began"
        if gap.closed_by
        else "from there on, until a new backup is made"
    )
    return f"{gap.missing} segments of WAL are missing {where}: no moment can be restored {until}."
