"""What was found out about a release: that it proved itself, or that it must not serve. Files in its folder."""

from __future__ import annotations

import json
from typing import Any

from slipway.clock import utc_now
from slipway.errors import RefusedError
from slipway.files import fsync_directory, remove, write_atomically
from slipway.host import Host
from slipway.releases import kept
from slipway.turns.session import Report, Session

BAD = "bad.json"
VERIFIED = "verified.json"


def read(host: Host, release: str, mark: str) -> dict[str, Any] | None:
    """{time, reason?} of a mark; an unreadable one still marks, without its facts."""
    try:
        said = json.loads((host.release(release) / mark).read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        said = None
    return {"time": None, "reason": None, **(said if isinstance(said, dict) else {})}


def put(host: Host, release: str, mark: str, **facts: Any) -> None:
    content = json.dumps({"time": utc_now(), **facts}, sort_keys=True) + "\n"
    write_atomically(host.release(release) / mark, content.encode())


def take(host: Host, release: str, mark: str) -> None:
    remove(host.release(release) / mark)
    fsync_directory(host.release(release))


def mark_bad(session: Session, release: str, reason: str | None, clear: bool) -> Report:
    """A bad release is no target of a rollback, unless somebody names it and insists."""
    kept.require_staged(session.host, release)
    if (reason is None) != clear:
        raise RefusedError("usage", "mark-bad needs --reason TEXT, or --clear and no reason.")
    found = read(session.host, release, BAD)
    result = {"release": release, "bad": not clear, "reason": reason}
    as_asked = found is None if clear else found is not None and found.get("reason") == reason
    if as_asked and not session.journal.broken_off("mark-bad"):
        return Report(False, result, f"Release {release} is marked so already; nothing was changed.")
    with session.journal.step("mark-bad", release, bad=not clear, reason=reason):
        if clear:
            take(session.host, release, BAD)
        else:
            put(session.host, release, BAD, reason=reason)
    said = "is no longer marked bad" if clear else f"is marked bad: {reason}"
    return Report(True, result, f"Release {release} {said}.")
