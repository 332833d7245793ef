"""What a migrator's lines say to a person: its events as sentences, and whatever else it says as it is.

Other releases say other things, and anybody may write into a log: no line is refused, none acts on a terminal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from fabfile.database import texts, units

LONGEST = 500
LOCK_SECONDS = 2
NOBODY = "a session that has ended meanwhile"


def sentence(line: str, titles: Mapping[str, str] | None = None) -> str:
    """A line for a person; "" for one that says nothing new. titles: of the revisions, by their ids."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return texts.plain(line, LONGEST)
    if not isinstance(said, dict):
        return texts.plain(line, LONGEST)
    if str(said.get("logger", "")).startswith("alembic") or {"from", "to"} <= said.keys():
        return ""
    telling = EVENTS.get(str(said.get("event")))
    try:
        told = telling(said, titles or {}) if telling else line
    except (KeyError, TypeError, ValueError, AttributeError):
        told = line
    return texts.plain(told, LONGEST)


def session(seen: Mapping[str, Any]) -> str:
    """A session in words: pid, role, application, state, for how long, the form of its statement."""
    parts = [f"pid {seen['pid']}", f"role {seen.get('role') or 'hidden'}"]
    parts.append(str(seen.get("application") or "no application name"))
    since = f" for {units.duration(float(seen['seconds']))}" if seen.get("seconds") is not None else ""
    parts.append(f"{seen.get('state') or 'active'}{since}")
    query = texts.query(seen.get("query"))
    return ", ".join(parts) + (f": {query}" if query else "")


def lock(mode: object) -> str:
    """A lock's mode as the manual writes it: AccessExclusiveLock is ACCESS EXCLUSIVE."""
    name = str(mode).removesuffix("Lock")
    return "".join(f" {letter}" if letter.isupper() else letter for letter in name).strip().upper()


def took(seconds: float) -> str:
    """A revision's time: as a rule some milliseconds."""
    return units.milliseconds(1000 * seconds) if seconds < 1 else units.duration(seconds)


def _sessions(found: Any) -> str:
    return "; ".join(session(each) for each in found) or NOBODY


def _begun(said: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    title = titles.get(said["revision"], "")
    return f"{said['revision']} begins" + (f": {title}" if title else "")


def _applied(said: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    held = said.get("strongest_lock")
    locked = f", under {lock(held)} on {', '.join(said.get('locked') or [])}" if held else ""
    return f"{said['revision']} applied in {took(float(said['seconds']))}{locked}"


def _blocked(said: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    return f"waits for a lock; in the way is {_sessions(said['blocked_by'])}"


def _waits_for_another(said: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    waited = units.duration(float(said["waited_seconds"]))
    return f"waits for another migration, {waited} so far: {_sessions(said['held_by'])}"


def _waits_for_lock(said: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    attempt = int(said["attempt"])
    return (
        f"try {attempt} let go after {LOCK_SECONDS} s without the lock, so that nobody waits behind it; "
        f"try {attempt + 1} in {units.duration(float(said['pause_seconds']))}"
    )


def _done(said: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    tries = int(said["attempts"])
    return f"done in {units.duration(float(said['seconds']))}, {tries} {'try' if tries == 1 else 'tries'}"


def _index_build(said: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    # Until the server has made the index's row, its name is a dash.
    told = f"builds {'an index' if said['index'] == '-' else said['index']}: {said['phase']}"
    if said.get("blocks_total"):
        told += f", {100 * int(said['blocks_done']) // int(said['blocks_total'])} % read"
    if said.get("lockers_total"):
        told += f", {said['lockers_done']} of {said['lockers_total']} older transactions have ended"
    return told


def _index_built(said: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    size = units.size(int(said["bytes"]))
    return f"index {said['index']} of {said['table']} built in {took(float(said['seconds']))}, {size}"


def _index_is_there(said: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    return f"index {said['index']} of {said['table']} is there already, as it should be"


def _unfinished_index_removed(said: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    return f"removed what a build that died had left of index {said['index']} of {said['table']}"


def _unfinished_index_stays(said: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    return f"unfinished index {said['index']} could not be removed (SQLSTATE {said['reason']}): the next run does it"


def _watch_ended(said: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    return f"goes on, but who is in its way can no longer be said: {said['reason']}"


def _without_kind(said: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    return f"{', '.join(map(str, said['revisions']))}: says no kind, and so counts as {said['counts_as']}"


EVENTS: dict[str, Callable[[Mapping[str, Any], Mapping[str, str]], str]] = {
    "revision_begun": _begun,
    "revision_applied": _applied,
    "revision_without_kind": _without_kind,
    "migration_blocked": _blocked,
    "migration_waits_for_another": _waits_for_another,
    "migration_waits_for_lock": _waits_for_lock,
    "migration_done": _done,
    "migration_watch_ended": _watch_ended,
    "index_build": _index_build,
    "index_built": _index_built,
    "index_is_there": _index_is_there,
    "unfinished_index_removed": _unfinished_index_removed,
    "unfinished_index_stays": _unfinished_index_stays,
}
