"""What the server has counted since its statistics began, and what an earlier look had: only what came since is news.

The counts of earlier looks lie in build/, one file a database; without one, all since the beginning are judged.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[3] / "build/db-status"
# A look to compare with is an hour old at least, and a week at most; two are kept that far apart.
LEAST_AGE, MOST_AGE, APART = 3600.0, 7 * 86400.0, 1800.0


@dataclass(frozen=True)
class Counters:
    """at: seconds since 1970. began: of the statistics, another one after a reset. counts: by name."""

    at: float
    began: float
    counts: Mapping[str, float]


@dataclass(frozen=True)
class Came:
    """What was counted in how many seconds. compared: since an earlier look, not since the statistics began."""

    counts: Mapping[str, float]
    seconds: float
    compared: bool = False


def from_the_beginning(_name: str, now: Counters) -> Came:
    """What was counted since the statistics began."""
    return Came(now.counts, now.at - now.began)


class Memory:
    """The looks of one environment's database that are kept in a folder."""

    def __init__(self, environment: str, folder: Path = FOLDER) -> None:
        self.environment, self.folder = environment, folder

    def since(self, name: str, now: Counters) -> Came:
        """What came since an earlier look, else since the beginning; this look is kept for later ones."""
        file = f"{self.environment}-{name}"
        kept = load(file, self.folder)
        before = earlier(kept, now)
        keep(file, kept, now, self.folder)
        if before is None:
            return from_the_beginning(name, now)
        came = {each: count - before.counts.get(each, 0.0) for each, count in now.counts.items()}
        return Came(came, now.at - before.at, compared=True)


def earlier(kept: list[Counters], now: Counters) -> Counters | None:
    """The newest look that is old enough, of the same statistics; None when there is none."""
    found = [
        one
        for one in kept
        if LEAST_AGE <= now.at - one.at <= MOST_AGE
        and abs(one.began - now.began) < 1
        and all(one.counts.get(name, 0.0) <= count for name, count in now.counts.items())
    ]
    return max(found, key=lambda one: one.at, default=None)


def load(name: str, folder: Path = FOLDER) -> list[Counters]:
    """The looks that are kept; none when the file is not there or is none of ours."""
    try:
        rows = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        return [Counters(float(row["at"]), float(row["began"]), dict(row["counts"])) for row in rows]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def keep(name: str, kept: list[Counters], now: Counters, folder: Path = FOLDER) -> None:
    """Keep this look, unless one of just now is there; what cannot be written is not kept."""
    young = [one for one in kept if 0 <= now.at - one.at <= MOST_AGE]
    if any(now.at - one.at < APART and abs(one.began - now.began) < 1 for one in young):
        return
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as file:
            json.dump([asdict(one) for one in (*young, now)], file)
        os.replace(file.name, folder / f"{name}.json")
