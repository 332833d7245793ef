"""What ssh-audit says of the SSH server's algorithms, asked from outside."""

from __future__ import annotations

import json
from typing import Any

from tests.scores.table import Score

KINDS = ("key", "kex", "enc", "mac")


def scores(said: str) -> list[Score]:
    """The scores in what `ssh-audit --json` wrote: algorithms with a failure, and with a warning."""
    found: dict[str, Any] = json.loads(said)
    named: dict[str, list[str]] = {"fail": [], "warn": []}
    for kind in KINDS:
        for row in found.get(kind, []):
            for level, names in named.items():
                if row.get("notes", {}).get(level):
                    names.append(row["algorithm"])
    return [
        Score("ssh-audit: failures", len(named["fail"]), 0, about=", ".join(named["fail"]) or "none"),
        Score("ssh-audit: warnings", len(named["warn"]), 0, about=", ".join(named["warn"]) or "none"),
    ]
