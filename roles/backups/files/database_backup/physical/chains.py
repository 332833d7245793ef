"""Backups as pgBackRest knows them, and which of them a moment is restored from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from database_backup.errors import RefusedError


@dataclass(frozen=True)
class Backup:
    """kind: full, diff or incr. began, ended: seconds since 1970. first, last: its WAL. size, kept: bytes of the
    cluster, and of the whole chain in the repository. damaged: a page's checksum was wrong when it was made.
    """

    label: str
    kind: str
    prior: str
    began: int
    ended: int
    first: str
    last: str
    size: int
    kept: int
    damaged: bool

    @property
    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**self.__dict__, "at": moment(self.ended)}


@dataclass(frozen=True)
class Target:
    """The moment that is wanted. kind: time, xid, name or latest. value: as it was said. at: seconds, for a time."""

    kind: str
    value: str = ""
    at: float = 0.0

    @property
    def said(self) -> str:
        """Such as "2026-11-26T21:00:00Z"."""
        words = {"xid": "just before transaction", "name": "the restore point"}
        return {"latest": "the newest moment", "time": moment(self.at)}.get(
            self.kind, f"{words.get(self.kind)} {self.value}"
        )


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def of(info: dict[str, Any]) -> list[Backup]:
    """The backups of a stanza, oldest first."""
    return [
        Backup(
            label=each["label"],
            kind=each["type"],
            prior=each.get("prior") or "",
            began=int(each["timestamp"]["start"]),
            ended=int(each["timestamp"]["stop"]),
            first=each["archive"]["start"],
            last=each["archive"]["stop"],
            size=int(each["info"]["size"]),
            kept=int(each["info"]["repository"]["size"]),
            damaged=bool(each.get("error")),
        )
        for each in info.get("backup", [])
    ]


def chosen(
    backups: list[Backup], target: Target, ends: dict[str, int], points: dict[str, dict[str, Any]]
) -> Backup:
    """The newest backup that ended before the moment. ends: each backup's next transaction; points: by name.

    Raises RefusedError when there is none.
    """
    fit = backups
    if target.kind == "time":
        fit = [each for each in backups if each.ended < target.at]
    elif target.kind == "xid":
        fit = [each for each in backups if ends.get(each.label, 1 << 62) <= int(target.value)]
    elif target.kind == "name" and target.value in points:
        fit = [each for each in backups if each.ended < float(points[target.value]["seconds"])]
    if fit:
        return fit[-1]
    if not backups:
        raise RefusedError(
            "There is no backup yet. Nothing was changed. Make one with: fab db-backup --type=full"
        )
    first = backups[0]
    raise RefusedError(
        f"The first backup ended at {moment(first.ended)} ({first.label}), and {target.said} is before that: nothing "
        "that is kept reaches it. Nothing was changed. All backups are listed by: fab db-backups"
    )
