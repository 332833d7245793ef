"""The users and groups of a host's own files; those of a directory service are none of a role's."""

from __future__ import annotations

from typing import Any


def users(root: str = "/etc") -> dict[str, dict[str, Any]]:
    """{name: uid, comment, home, shell, groups (further ones), no_password (whether no password opens it)}."""
    locked = {row[0]: row[1] in ("*", "!*") for row in _rows(f"{root}/shadow", 2)}
    memberships = [(row[0], row[3].split(",")) for row in _rows(f"{root}/group", 4)]
    return {
        row[0]: {
            "uid": int(row[2]),
            "comment": row[4],
            "home": row[5],
            "shell": row[6],
            "groups": sorted(group for group, members in memberships if row[0] in members),
            "no_password": locked.get(row[0], False),
        }
        for row in _rows(f"{root}/passwd", 7)
    }


def groups(root: str = "/etc") -> list[str]:
    """The names of the groups."""
    return sorted(row[0] for row in _rows(f"{root}/group", 4))


def _rows(path: str, fields: int) -> list[list[str]]:
    """The file's rows that have as many fields; a compatibility entry (`+::::::`) is no user."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            rows = [line.rstrip("\n").split(":") for line in stream]
    except FileNotFoundError:
        return []
    return [row for row in rows if len(row) >= fields and row[0] and row[0][0] not in "+-#"]
