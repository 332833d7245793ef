"""What waits for the proof of a second login, and what was taken back for want of one (guard.py)."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
from typing import Any

FOLDER = "/var/lib/slipway/guard"


def armed() -> dict[str, Any] | None:
    """The change that waits for its proof: token, set, app, at (UTC), seconds it has, the copies it kept."""
    return _read("armed.json")


def proven() -> dict[str, Any] | None:
    """The change that a second login proved last, as it was armed."""
    return _read("proven.json")


def told() -> str:
    """The sentence about what was taken back and not been proven since; empty when there is nothing to say."""
    found = _read("taken-back.json")
    if found is None:
        return ""
    moment = "an unknown time"
    with contextlib.suppress(OSError):
        ended = os.stat(os.path.join(FOLDER, "taken-back.json")).st_mtime
        moment = datetime.datetime.fromtimestamp(ended, datetime.timezone.utc).isoformat(timespec="seconds")
    return (
        f"The change of the set {found['set']} (of {found['app']}, {found['at']}) was taken back at {moment}, since no "
        "second login by a new connection proved it: the host is as it was before it (docs/runbooks/locked-out.md). "
        f"A change that is proven ends this message; so does rm {FOLDER}/taken-back.json."
    )


def _read(name: str) -> dict[str, Any] | None:
    try:
        with open(os.path.join(FOLDER, name), encoding="utf-8") as stream:
            return dict(json.load(stream))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except ValueError:
        # Half written when the host died: no file had changed yet.
        return None
