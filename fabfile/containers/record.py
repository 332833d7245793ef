"""One change at a time, and what was done: a kernel lock and a line a step, beside the containers' secrets."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from fabfile.errors import LockedError, RefusedError

REMEMBERED = 5


@contextmanager
def turn(state: Path, who: str) -> Iterator[None]:
    """Whoever holds it is alone; it ends with the process, however that ends. Raises LockedError, RefusedError."""
    if not state.is_dir():
        raise RefusedError(
            f"{state} is not there: make secrets INVENTORY=inventory/compose makes it. Nothing was changed."
        )
    descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o640)
    with os.fdopen(descriptor, "r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(
                f"The containers are being changed by {lock.read().strip() or 'somebody'}. Nothing was changed; "
                "wait for that to end."
            ) from None
        lock.seek(0)
        lock.truncate()
        lock.write(f"{who}, since {now()}\n")
        lock.flush()
        yield


class Journal:
    """journal.jsonl: when, what, which release."""

    def __init__(self, state: Path) -> None:
        self.path = state / "journal.jsonl"

    def write(self, step: str, release: str, **details: Any) -> None:
        """Add a line, on the disk before this returns."""
        line = json.dumps({"at": now(), "step": step, "release": release, **details}) + "\n"
        with self.path.open("a", encoding="utf-8") as file:
            # After one that a kill has cut, this is a line of its own all the same.
            file.write(line if not file.tell() or self.path.read_bytes().endswith(b"\n") else f"\n{line}")
            file.flush()
            os.fsync(file.fileno())

    def rows(self) -> list[dict[str, Any]]:
        """All whole lines, oldest first: a kill may have cut the last."""
        found = []
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        for line in lines:
            try:
                found.append(dict(json.loads(line)))
            except ValueError:
                continue
        return found

    def earlier(self) -> dict[str, Any] | None:
        """Where the way back leads: to the row of what was live before; None when there is none.

        Of a change that was cut off, and neither ended nor taken back, it leads to what was live when that began.
        """
        rows = [row for row in self.rows() if row["step"] in ("begin", "live", "as-before")]
        live = [row for row in rows if row["step"] == "live"]
        if not live or rows[-1]["step"] == "begin":
            return live[-1] if live else None
        return next((row for row in reversed(live) if row["release"] != live[-1]["release"]), None)

    def images(self) -> list[str]:
        """The last few that were brought live, or begun, by name; the newest first."""
        named = [str(row["image"]) for row in reversed(self.rows()) if row.get("image")]
        return list(dict.fromkeys(named))[:REMEMBERED]

    def schema(self) -> str | None:
        """What the last migration that ended brought the database to."""
        ended = [row for row in self.rows() if row["step"] == "migrated"]
        return str(ended[-1]["to"]) if ended else None


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
