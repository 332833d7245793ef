"""The journal of all slipway did: one JSON object a line, each on the disk before the step goes on.

A line: schema, time (UTC), sequence, previous (sha256 of the line before), who, fence (null: a person on the console),
step, release, phase (begin|end|note), result, duration_ms, error, details; what does not apply is left out.
A step within a step is named after it: switch within activate is activate.switch. A note is one record of its own.
A line torn by a power cut is kept, and reported by every reader.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from slipway.clock import utc_now
from slipway.errors import SlipwayError, StepError
from slipway.journal import chain
from slipway.journal.reading import Reading

SCHEMA = 1
TAIL_BYTES = 1 << 20
RESERVE_BYTES = 1 << 18
# Enough for the last line as a rule; _tail reads on when it is not.
LAST_BYTES = 1 << 14


class Journal:
    """Appends to the journal. fence: the number the caller's lease carries; None is a person on the console."""

    def __init__(self, path: Path, who: str, fence: int | None = None) -> None:
        self.path = path
        self.who = who
        self.fence = fence
        self._open: list[str] = []

    @property
    def head(self) -> Path:
        return self.path.with_suffix(".head")

    def read(self, wanted: int = TAIL_BYTES, step: str = "") -> Reading:
        """The newest records, of at most about wanted bytes. step: those that name it; no other is parsed."""
        named = f'{step}"'.encode() if step else b""
        entries: list[dict[str, Any]] = []
        torn: list[str] = []
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return Reading([], [])
        try:
            tail = _tail(descriptor, wanted)
        finally:
            os.close(descriptor)
        for line in tail.split(b"\n"):
            # Most of the time goes into parsing.
            if named not in line:
                continue
            entry = chain.parse(line)
            if entry is not None:
                entries.append(entry)
            elif line:
                torn.append(line[:200].decode("utf-8", "replace"))
        return Reading(entries, torn)

    def is_torn(self) -> bool:
        """Whether the last line has no end; the next record says so in the journal."""
        if not self.path.exists() or not self.path.stat().st_size:
            return False
        with self.path.open("rb") as stream:
            stream.seek(-1, os.SEEK_END)
            return stream.read(1) != b"\n"

    def broken_off(self, step: str) -> bool:
        """Whether the newest run of a command never ended; within another step, that one is what is finished."""
        return not self._open and any(entry["step"] == step for entry in self.read(step=step).unfinished())

    def note(self, kind: str, release: str | None = None, details: dict[str, Any] | None = None) -> None:
        self.record(kind, "note", release, details=details or None)

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
        """Appends one record, on the disk when this returns. Raises StepError when the disk does not take it."""
        entry = {
            "step": step,
            "release": release,
            "phase": phase,
            "result": result,
            "duration_ms": duration_ms,
            "error": error,
            "details": details,
        }
        told = {name: value for name, value in entry.items() if value is not None}
        try:
            try:
                self._append([told])
            except OSError as failure:
                if not self._free_reserve(failure):
                    raise
                self._append([told])
        except OSError as failure:
            raise StepError(
                "journal-write",
                f"{self.path} could not be written: {failure}. Nothing is done that is not journaled, so this "
                f"ended here. Make room (`df -h {self.path.parent}`) and type: slipway recover",
            ) from failure

    @property
    def reserve(self) -> Path:
        return self.path.with_name("reserve")

    def keep_reserve(self) -> None:
        """Room for some hundred records on a disk that is full: a rollback is what it is needed for then."""
        if self.reserve.exists():
            return
        with suppress(OSError):
            descriptor = os.open(self.reserve, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
            except OSError:
                self.reserve.unlink()
            finally:
                os.close(descriptor)

    def _free_reserve(self, failure: OSError) -> bool:
        """Whether there was one to give up for this failure."""
        if failure.errno not in (errno.ENOSPC, errno.EDQUOT) or not self.reserve.exists():
            return False
        self.reserve.unlink()
        return True

    def _append(self, entries: list[dict[str, Any]]) -> None:
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            # A lease's heartbeat and a controller's record come while another process changes the host.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            tail = _tail(descriptor, LAST_BYTES)
            data, torn = b"", tail.rpartition(b"\n")[2]
            if torn:
                data = b"\n"
                told = {
                    "step": "journal",
                    "phase": "end",
                    "result": "torn",
                    "details": {"torn_bytes": len(torn)},
                }
                entries = [told, *entries]
            last = tail.removesuffix(b"\n").rpartition(b"\n")[2]
            sequence = _last_sequence(tail)
            for entry in entries:
                sequence += 1
                head = {
                    "schema": SCHEMA,
                    "time": utc_now(),
                    "sequence": sequence,
                    chain.LINK: chain.digest(last),
                }
                last = json.dumps({**head, "who": self.who, "fence": self.fence, **entry}).encode()
                data += last + b"\n"
            _write_all(descriptor, data)
            os.fsync(descriptor)
            chain.write_head(self.head, sequence, chain.digest(last))
        finally:
            os.close(descriptor)

    @contextmanager
    def step(self, name: str, release: str | None = None, **details: Any) -> Iterator[dict[str, Any]]:
        """Journals a step before and after; what the body puts in the yielded dict goes into the end."""
        full = ".".join([*self._open, name])
        self.record(full, "begin", release, details=details or None)
        started = time.monotonic()
        outcome: dict[str, Any] = dict(details)
        result, error = "failed", None
        self._open.append(name)
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
            self._open.pop()
            duration = round((time.monotonic() - started) * 1000)
            self.record(full, "end", release, result, duration, error, outcome or None)


def _tail(descriptor: int, wanted: int) -> bytes:
    """The end of the file from the beginning of a line: wanted bytes, or more until a record is among them."""
    size = os.fstat(descriptor).st_size
    while True:
        start = max(0, size - wanted)
        data = os.pread(descriptor, size - start, start)
        if not start:
            return data
        data = data.partition(b"\n")[2]
        if _last_sequence(data):
            return data
        wanted *= 4


def _last_sequence(tail: bytes) -> int:
    for line in reversed(tail.split(b"\n")):
        entry = chain.parse(line)
        if entry is not None:
            return int(entry["sequence"])
    return 0


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
