"""nginx's access log, followed from where it ends now: one JSON object a line."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROBE_AGENT = "slipway"
# What is read of a log's end for what was answered before it is followed.
EARLIER_BYTES = 1 << 20


@dataclass
class Counts:
    """What was answered for a release. seconds: how long each request took.

    errors: answers of 5xx; unavailable: those of them that are the release's own 503.
    """

    requests: int = 0
    errors: int = 0
    unavailable: int = 0
    seconds: list[float] = field(default_factory=list)

    @property
    def percent(self) -> float:
        return 100 * self.errors / self.requests if self.requests else 0.0

    def are_more_than(self, most_percent: float) -> bool:
        """Whether errors are more than that of the answers; one 503 alone may be a moment of the database."""
        certain = self.errors - min(self.unavailable, 1)
        return 100 * certain > most_percent * self.requests

    def quantile_ms(self, share: float) -> int | None:
        ordered = sorted(self.seconds)
        return round(1000 * ordered[int(share * (len(ordered) - 1))]) if ordered else None


class _File:
    """One file of the log, from where it is read to its end, which grows until nginx leaves it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._rest = b""

    def lines(self) -> list[bytes]:
        """The whole lines that came since the last call."""
        data = self._rest
        while chunk := os.read(self.descriptor, 1 << 20):
            data += chunk
        *lines, self._rest = data.split(b"\n")
        return lines

    def begin(self) -> None:
        """Reads on from the beginning: the file was cut."""
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        self._rest = b""

    def position(self) -> int:
        return os.lseek(self.descriptor, 0, os.SEEK_CUR)


class AccessLog:
    """Reads what is added to the log, also over rotations."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # The last is the log of now. What was rotated away stays open: nginx's workers leave it in their own time.
        self._files: list[_File] = []
        self._open(at_end=True)

    @property
    def found(self) -> bool:
        return bool(self._files)

    def close(self) -> None:
        while self._files:
            os.close(self._files.pop().descriptor)

    def _open(self, at_end: bool) -> None:
        try:
            self._files.append(_File(os.open(self.path, os.O_RDONLY)))
        except FileNotFoundError:
            return
        if at_end:
            os.lseek(self._files[-1].descriptor, 0, os.SEEK_END)

    def added(self) -> list[dict[str, Any]]:
        """The whole lines that came since the last call."""
        self._follow()
        lines = [line for file in self._files for line in file.lines()]
        parsed = (_parse(line) for line in lines)
        return [entry for entry in parsed if entry is not None]

    def earlier(self) -> list[dict[str, Any]]:
        """The last whole lines from before; asked before anything that was added."""
        if not self.found:
            return []
        end = self._files[-1].position()
        begin = max(0, end - EARLIER_BYTES)
        before = os.pread(self._files[-1].descriptor, end - begin, begin)
        _, *whole = (b"\n" * (begin == 0) + before).split(b"\n")
        parsed = (_parse(line) for line in whole)
        return [entry for entry in parsed if entry is not None]

    def _follow(self) -> None:
        """Opens the log that took the place of the one that was followed."""
        if not self.found:
            self._open(at_end=False)
            return
        now = self._files[-1]
        mine = os.fstat(now.descriptor)
        if mine.st_size < now.position():
            now.begin()
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return
        if (mine.st_dev, mine.st_ino) != (there.st_dev, there.st_ino):
            self._open(at_end=False)


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def is_probe(entry: dict[str, Any]) -> bool:
    """Twenty answers a second to our own probe would hide what customers get."""
    return str(entry.get("agent")).startswith(PROBE_AGENT)


def count(counts: Counts, entries: list[dict[str, Any]], release: str) -> None:
    """Counts the release's answers, and nginx's own where the upstream gave none: that was the live release."""
    for entry in entries:
        if is_probe(entry):
            continue
        unanswered = not entry.get("release") and str(entry.get("upstream")).startswith("unix:")
        if entry.get("release") != release and not unanswered:
            continue
        status, seconds = entry.get("status"), entry.get("seconds")
        counts.requests += 1
        counts.errors += isinstance(status, int) and status >= 500
        counts.unavailable += status == 503 and not unanswered
        if isinstance(seconds, (int, float)):
            counts.seconds.append(float(seconds))
