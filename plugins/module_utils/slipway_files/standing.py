"""What a set of files comes to, as one digest: of the set that is wanted, and of what stands on the host.

Both are made here, on the controller and on the host, so that equal digests mean equal sets and nothing else need be
compared. Standard library alone, and no other module of this folder: the controller loads this file by its path.
"""

from __future__ import annotations

import base64
import grp
import hashlib
import json
import os
import pwd
import stat
from typing import Any

Rows = list[tuple[str, ...]]


def beside(wanted: dict[str, Any]) -> dict[str, list[Any]]:
    """What a wanted set has beside its files; a manifest keeps it for the next look."""
    return {
        "directories": [entry["path"] for entry in wanted["directories"]],
        "links": [entry["path"] for entry in wanted["links"]],
        "watch": list(wanted["watch"]),
        "claims": [list(claim) for claim in sorted(wanted["claims"].items())],
    }


def digest_of_wanted(wanted: dict[str, Any]) -> str:
    """The digest a host shows that has this set, whole and in force."""
    rows: Rows = [("watch", path) for path in wanted["watch"]]
    rows += [("claim", *claim) for claim in wanted["claims"].items()]
    rows += [("link", entry["path"], entry["target"]) for entry in wanted["links"]]
    for kind in ("directories", "files"):
        for entry in wanted[kind]:
            content = base64.b64decode(entry["content"]) if kind == "files" else b""
            attributes = (entry["owner"], entry["group"], f"{int(entry['mode'], 8):04o}")
            rows.append((kind, entry["path"], *attributes, hashlib.sha256(content).hexdigest()))
    return _digest(rows)


def digest_of_host(files: dict[str, str], others: dict[str, list[Any]]) -> str | None:
    """The digest of what stands at a set's paths now; None when one is missing, is something else, or is not the file
    of {path: sha256} that the set left there: another service's run may have written it since."""
    try:
        rows: Rows = [("watch", path) for path in others["watch"]]
        # A record of an earlier version has none: its set is stated anew.
        rows += [("claim", *claim) for claim in others["claims"]]
        rows += [("link", path, os.readlink(path)) for path in others["links"]]
        rows += [_row("directories", path) for path in others["directories"]]
        found = [_row("files", path) for path in files]
    except (OSError, KeyError):
        return None
    as_left = all(digest == files[path] for _, path, *_, digest in found)
    return _digest(rows + found) if as_left else None


def _row(kind: str, path: str) -> tuple[str, ...]:
    found = os.lstat(path)
    is_kind = stat.S_ISDIR if kind == "directories" else stat.S_ISREG
    if not is_kind(found.st_mode):
        raise KeyError(path)
    content = b""
    if kind == "files":
        with open(path, "rb") as stream:
            content = stream.read()
    owner, group = pwd.getpwuid(found.st_uid).pw_name, grp.getgrgid(found.st_gid).gr_name
    return kind, path, owner, group, f"{stat.S_IMODE(found.st_mode):04o}", hashlib.sha256(content).hexdigest()


def _digest(rows: Rows) -> str:
    return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()
