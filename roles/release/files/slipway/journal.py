"""The journal of all slipway did: one JSON object a line, each on the disk before the step goes on.

A line: schema, time (UTC), sequence, who, step, release, phase (begin|end), result, duration_ms, error,
details; what does not apply is left out.
A line torn by a power cut is kept, and reported by every reader.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from slipway.errors import SlipwayError

SCHEMA = 1
TAIL_BYTES = 1 << 20


def utc_now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True)
class Reading:
    """entries: the records, oldest first. torn: the beginnings of lines that are not records."""

    entries: list[dict[str, Any]]
    torn: list[str]

    def last(self, step: str) -> dict[str, Any] | None:
        """The newest record of a step."""
        return next((entry for entry in reversed(self.entries) if entry["step"] == step), None)

    def unfinished(self) -> list[dict[str, Any]]:
        """The `begin` of each command whose newest run never ended; parts of one have a dot in their name."""
        commands = {entry["step"] for entry in self.entries if "." not in entry["step"]}
        newest = [self.last(step) for step in sorted(commands)]
        return [entry for entry in newest if entry and entry["phase"] == "begin"]


class Journal:
    """Appends to the journal; the caller holds the host's lock."""

    def __init__(self, path: Path, who: str) -> None:
        self.path = path
        self.who = who

    def read(self) -> Reading:
        """The newest records, at most TAIL_BYTES of them."""
        if not self.path.exists():
            return Reading([], [])
        entries: list[dict[str, Any]] = []
        torn: list[str] = []
        for line in self._tail().split(b"\n"):
            entry = _parse(line)
            if entry is not None:
                entries.append(entry)
            elif line:
                torn.append(line[:200].decode("utf-8", "replace"))
        return Reading(entries, torn)

    def _tail(self) -> bytes:
        with self.path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            start = max(0, size - TAIL_BYTES)
            stream.seek(start)
            data = stream.read()
        return data.partition(b"\n")[2] if start else data

    def record(
        self,
        step: str,
        phase: str,
        release: str | None = None,
        result: str | None = None,
        duration_ms: int | None = None,
        error: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        tail = self._tail() if self.path.exists() else b""
        lines: list[dict[str, Any]] = []
        if torn_bytes := len(tail.rpartition(b"\n")[2]):
            lines.append(
                {"step": "journal", "phase": "end", "result": "torn", "details": {"torn_bytes": torn_bytes}}
            )
        lines.append(
            {
                "step": step,
                "release": release,
                "phase": phase,
                "result": result,
                "duration_ms": duration_ms,
                "error": error,
                "details": details,
            }
        )
        sequence = _last_sequence(tail)
        data = b"\n" if torn_bytes else b""
        for offset, line in enumerate(lines, start=1):
            head = {"schema": SCHEMA, "time": utc_now(), "sequence": sequence + offset, "who": self.who}
            data += json.dumps(head | {k: v for k, v in line.items() if v is not None}).encode() + b"\n"
        self._append(data)

    def _append(self, data: bytes) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            os.write(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @contextmanager
    def step(self, name: str, release: str | None = None, **details: Any) -> Iterator[dict[str, Any]]:
        """Journals a step before and after; what the body puts in the yielded dict goes into the end."""
        self.record(name, "begin", release, details=details or None)
        started = time.monotonic()
        outcome: dict[str, Any] = dict(details)
        result, error = "failed", None
        try:
            yield outcome
            result = "ok"
        except SlipwayError as failure:
            error = failure.message.splitlines()[0]
            raise
        except BaseException as failure:
            error = repr(failure)
            raise
        finally:
            duration = round((time.monotonic() - started) * 1000)
            self.record(name, "end", release, result, duration, error, outcome or None)


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and {"step", "phase", "sequence"} <= entry.keys() else None


def _last_sequence(tail: bytes) -> int:
    for line in reversed(tail.split(b"\n")):
        entry = _parse(line)
        if entry is not None:
            return int(entry["sequence"])
    return 0
