"""On which release hosts that differ are to agree: on what the fleet's newest rollout left them with."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from fabfile.hosts.state import HostState, States, is_verified
from fabfile.turn.record import UNTIDY


@dataclass(frozen=True)
class Choice:
    """release: "" when nothing is live anywhere. why: in words."""

    release: str
    why: str


def choose(states: States) -> Choice:
    """The release that all hosts should serve.

    What they serve alike; else what was agreed on last: the note with the highest fence decides alone, for a host that
    comes back from the dead brings an old one. Else what most of the hosts with the newest notes serve.
    """
    live = [found.live for found in states.values() if found.live]
    if not live:
        return Choice("", "no host serves anything")
    if len(set(live)) == 1 and len(live) == len(states):
        return Choice(live[0], "every host serves it")
    name, note = newest(states)
    if agreed := _agreed(note):
        return Choice(agreed, _told(name, note))
    return _by_count(states)


def newest(states: States) -> tuple[str, dict[str, Any]]:
    """The newest note of a rollout in the fleet, and whose; of one rollout its end, where any host has it."""
    notes = {name: found.status.get("last_record") or {} for name, found in states.items()}
    return max(notes.items(), key=lambda each: _rank(each[1]))


def _rank(note: dict[str, Any]) -> tuple[int, bool, str]:
    return int(note.get("fence") or 0), _kind(note).endswith(".end"), str(note.get("time") or "")


def _kind(note: dict[str, Any]) -> str:
    return str(note.get("kind") or "")


def _agreed(note: dict[str, Any]) -> str:
    """The one release that the hosts of that rollout were left with, or would have been; "" when they were not one."""
    release, details = str(note.get("release") or ""), note.get("details") or {}
    before = set((details.get("previous") or {}).values()) - {None}
    if _came_live(note):
        return release
    if len(before) == 1:
        return str(before.pop())
    # A recovery begins where they differ, and with what was agreed on before.
    return release if _kind(note).startswith("recover.") else ""


def _came_live(note: dict[str, Any]) -> bool:
    """Whether that rollout ended, and with its release live on every host it reached."""
    result = (note.get("details") or {}).get("result")
    return _kind(note).endswith(".end") and result in ("ok", UNTIDY)


def _told(name: str, note: dict[str, Any]) -> str:
    kind = _kind(note)
    if _came_live(note):
        how = "came live everywhere"
    elif kind.endswith(".end"):
        how = "failed, and was taken back"
    else:
        how = "never ended, and is taken back" if not kind.startswith("recover.") else "never ended"
    what = kind.partition(".")[0]
    fence = f" with fence {note['fence']}" if note.get("fence") else ""
    return f"the newest rollout, a {what} to {note.get('release')}{fence} by the record of {name}, {how}"


def _by_count(states: States) -> Choice:
    """Where no note tells: what most hosts serve, those that know the newest rollout first."""
    highest = max(_rank(found.status.get("last_record") or {})[0] for found in states.values())
    served = [found for found in states.values() if found.live]
    knowing = [found for found in served if _rank(found.status.get("last_record") or {})[0] == highest]
    counted = Counter(found.live for found in knowing or served)
    good = {name for name in counted if name and _is_good(states, name)}
    most = max(counted, key=lambda name: (name in good, counted[name], str(name)))
    return Choice(
        str(most), f"{counted[most]} of {len(states)} hosts serve it, and no record says what was agreed on"
    )


def _is_good(states: States, release: str) -> bool:
    """Verified on every host that has it."""
    having: list[HostState] = [found for found in states.values() if release in found.releases]
    return bool(having) and all(is_verified(found, release) for found in having)


def left_open(states: States) -> bool:
    """Whether the newest note of a host is that of a rollout which never ended."""
    return any(_kind(found.status.get("last_record") or {}).endswith(".begin") for found in states.values())
