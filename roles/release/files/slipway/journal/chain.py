"""The hash chain of the journal: every line carries the sha256 of the line before it.

A line changed, taken out or put in breaks the chain there. Lines cut off the end, and a changed last line, are told by
the head, a file beside the journal that names its last line.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LINK = "previous"


def digest(line: bytes) -> str:
    """The link to a line, without its newline; the first line of all links to the empty one."""
    return hashlib.sha256(line).hexdigest()


def parse(line: bytes) -> dict[str, Any] | None:
    """The record in a line; None when it is none, as a torn line is."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and {"step", "phase", "sequence"} <= entry.keys() else None


@dataclass(frozen=True)
class Altered:
    """line: counted from 1. sequence: what it says its number is, if it says one."""

    line: int
    sequence: int | None
    reason: str


@dataclass(frozen=True)
class Verification:
    """unchained: lines older than the chain. sha256: of the last whole line, to be kept elsewhere."""

    lines: int
    unchained: int
    torn: int
    sequence: int
    sha256: str
    altered: Altered | None

    def facts(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "altered"}


def write_head(path: Path, sequence: int, sha256: str) -> None:
    """Not flushed: after a power cut it may name an earlier line, and never one that is not there."""
    data = json.dumps({"sequence": sequence, "sha256": sha256}).encode() + b"\n"
    with suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o640)
        try:
            os.pwrite(descriptor, data, 0)
            os.ftruncate(descriptor, len(data))
        finally:
            os.close(descriptor)


def _read_head(path: Path) -> tuple[int, str] | None:
    try:
        said = json.loads(path.read_bytes())
        return int(said["sequence"]), str(said["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def verify(journal: Path, head: Path) -> Verification:
    """Reads the whole journal and names the first line that is not as it was written."""
    told = _read_head(head)
    walk = _Walk(told)
    for number, line in enumerate(_whole_lines(journal), start=1):
        walk.take(number, line)
        if walk.altered:
            break
    if walk.altered is None and told is not None and not walk.attested:
        walk.altered = Altered(
            walk.lines, walk.sequence or None, f"the journal had a line {told[0]}, and ends before it"
        )
    return Verification(walk.lines, walk.unchained, walk.torn, walk.sequence, walk.last, walk.altered)


def _whole_lines(path: Path) -> Iterator[bytes]:
    """Lines that end; the rest of one that is being written, or was torn, belongs to no record yet."""
    if path.exists():
        with path.open("rb") as stream:
            yield from (line[:-1] for line in stream if line.endswith(b"\n"))


class _Walk:
    """One pass over the lines, with what is known so far."""

    def __init__(self, told: tuple[int, str] | None) -> None:
        self.told = told
        self.lines = self.unchained = self.torn = self.sequence = 0
        self.last = digest(b"")
        self.attested = False
        self.altered: Altered | None = None

    def take(self, number: int, line: bytes) -> None:
        self.lines = number
        entry = parse(line)
        if entry is None:
            self.torn += 1
        elif LINK in entry:
            self._check(number, entry)
            self.sequence = int(entry["sequence"])
        elif self.unchained + self.torn == number - 1:
            self.unchained += 1
            self.sequence = int(entry["sequence"])
        else:
            self.altered = Altered(number, entry["sequence"], "it has lost its link to the line before it")
        self.last = digest(line)
        if self.told and entry is not None and entry["sequence"] == self.told[0]:
            self.attested = True
            if self.last != self.told[1] and self.altered is None:
                self.altered = Altered(number, entry["sequence"], "it is not the line that was written last")

    def _check(self, number: int, entry: dict[str, Any]) -> None:
        gone = int(entry["sequence"]) - self.sequence - 1
        if entry[LINK] == self.last:
            return
        if number == 1 or gone > 0:
            self.altered = Altered(
                number, entry["sequence"], f"{gone or 'some'} of the lines before it were taken out"
            )
        else:
            self.altered = Altered(
                number - 1, self.sequence or None, "the line after it links to other bytes than these"
            )
