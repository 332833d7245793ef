"""A migration's run as facts for the journal, out of what its unit said; whatever it said, nothing fails here.

{"from", "to", "held_back"}: as its last line has them. revisions: a list of {"revision", "seconds", "tries", "lock",
"on"}, with "failed" true for the one that was given up. tries: of the whole run. blocked_by: sessions that were in its
way, each once, as it saw them last. sentence: why it ended badly.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

BLOCKERS = 5
REVISIONS = 200
LONGEST = 500


def facts(lines: Iterable[str]) -> dict[str, Any]:
    """What does not appear in the lines is left out."""
    run = _Run()
    for line in lines:
        said = _object(line)
        if said is None:
            run.sentence = line.strip()[:LONGEST] or run.sentence
        elif {"from", "to"} <= said.keys():
            run.moved = {name: said[name] for name in ("from", "to", "held_back") if name in said}
        else:
            run.take(said)
    return run.facts()


class _Run:
    def __init__(self) -> None:
        self.moved: dict[str, Any] = {}
        self.revisions: list[dict[str, Any]] = []
        self.blocked_by: dict[Any, dict[str, Any]] = {}
        self.sentence = ""
        self.begun: str | None = None
        self.tries = 1
        self.tries_of_all = 1

    def take(self, said: dict[str, Any]) -> None:
        event = said.get("event")
        if event == "revision_begun":
            self.begun = _text(said.get("revision"))
        elif event == "revision_applied":
            self.revisions.append(
                {
                    "revision": _text(said.get("revision")),
                    "seconds": said.get("seconds"),
                    "tries": self.tries,
                    "lock": said.get("strongest_lock"),
                    "on": said.get("locked"),
                }
            )
            self.begun, self.tries = None, 1
        elif event == "migration_waits_for_lock":
            self.tries += 1
            self.tries_of_all += 1
        elif event in ("migration_blocked", "migration_waits_for_another"):
            for each in said.get("blocked_by") or said.get("held_by") or []:
                if isinstance(each, dict):
                    self.blocked_by[_text(each.get("pid"))] = each

    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = {**self.moved, "tries": self.tries_of_all}
        if self.begun and not self.moved:
            self.revisions.append({"revision": self.begun, "tries": self.tries, "failed": True})
        if self.revisions:
            found["revisions"] = self.revisions[-REVISIONS:]
        if self.blocked_by:
            found["blocked_by"] = list(self.blocked_by.values())[-BLOCKERS:]
        if self.sentence and not self.moved:
            found["sentence"] = self.sentence
        return found


def _object(line: str) -> dict[str, Any] | None:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _text(value: Any) -> str:
    return str(value)[:64]
