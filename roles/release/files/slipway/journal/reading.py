"""What the journal says: which steps never ended, when one began, what was live before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Reading:
    """entries: the records, oldest first. torn: the beginnings of lines that are not records."""

    entries: list[dict[str, Any]]
    torn: list[str]

    @property
    def steps(self) -> list[dict[str, Any]]:
        """What slipway did; notes are what somebody said."""
        return [entry for entry in self.entries if entry["phase"] != "note"]

    def last(self, step: str) -> dict[str, Any] | None:
        """The newest record of a step."""
        return next((entry for entry in reversed(self.steps) if entry["step"] == step), None)

    def unfinished(self) -> list[dict[str, Any]]:
        """The `begin` of each command whose newest run never ended; parts of one have a dot in their name."""
        newest = {entry["step"]: entry for entry in self.steps if "." not in entry["step"]}
        # One that only watches, or only starts a unit, leaves nothing to finish; none has the host's lock.
        steps = sorted(newest.keys() - {"bake", "backfill", "exec"})
        return [newest[step] for step in steps if newest[step]["phase"] == "begin"]

    def began(self, step: str, release: str) -> float | None:
        """When a step of release began last, in seconds since 1970; None when it never did."""
        times = [
            entry["time"]
            for entry in self.steps
            if entry["phase"] == "begin"
            and entry["step"].rpartition(".")[2] == step
            and entry.get("release") == release
        ]
        return datetime.fromisoformat(times[-1].replace("Z", "+00:00")).timestamp() if times else None

    def before(self, release: str) -> str | None:
        """The release that was live when release was switched to last; a switch cut short counts."""
        found: dict[str, str | None] = {}
        for entry in self.steps:
            if entry["step"].rpartition(".")[2] != "switch" or entry.get("release") != release:
                continue
            previous = entry.get("details", {}).get("previous")
            if entry["phase"] == "begin":
                found["begun"] = previous
            else:
                found.pop("begun", None)
                if entry.get("result") in ("ok", "abandoned"):
                    found["ended"] = previous
        return found.get("begun", found.get("ended"))
