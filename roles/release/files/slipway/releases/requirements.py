"""A bundle's requirements.lock, taken apart into pins; pip is given what slipway writes of them, never the file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from slipway.errors import RefusedError

PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(\[[A-Za-z0-9,._-]+\])?==[A-Za-z0-9.!+_-]+")
MARKER = re.compile(r"[A-Za-z0-9_.'\"<>=!~() -]+")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
# What installs the others is the host's (environment.installer), and nothing that serves needs one.
INSTALLERS = {"pip"}


@dataclass(frozen=True)
class Pin:
    """what: name, extras and version, as `tiny[all]==1.0`. marker: when it is wanted; empty for always."""

    what: str
    marker: str
    hashes: tuple[str, ...]

    def line(self) -> str:
        return " ".join([self.what, *([f"; {self.marker}"] if self.marker else []), *self.hashes])


def parse(data: bytes) -> list[Pin]:
    """Raises RefusedError for whatever is not a pin with sha256 hashes or a comment. Takes time by the length alone."""
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as failure:
        raise _bad(f"holds the byte {data[failure.start]:#x}, which is not ASCII") from None
    return [_pin(line) for line in _logical_lines(text)]


def render(pins: Iterable[Pin]) -> str:
    """What pip reads: one pin a line, no comment, no continuation, ASCII."""
    return "".join(f"{pin.line()}\n" for pin in pins)


def normal(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _logical_lines(text: str) -> Iterator[str]:
    """Without comments, the lines that a backslash continues joined."""
    parts: list[str] = []
    for line in text.split("\n"):
        rest = line.partition("#")[0].strip()
        parts.append(rest.removesuffix("\\"))
        if not rest.endswith("\\"):
            yield from filter(None, [" ".join(parts).strip()])
            parts.clear()
    if parts:
        raise _bad("ends in the middle of a line")


def _pin(line: str) -> Pin:
    words = line.split()
    hashes = tuple(word for word in words if HASH.fullmatch(word))
    what, _, marker = " ".join(words[: len(words) - len(hashes)]).partition(";")
    what, marker = what.strip(), marker.strip()
    named = PINNED.fullmatch(what)
    if not hashes or words[-len(hashes) :] != list(hashes) or not named:
        raise _bad(f"has a line that is not a pin with sha256 hashes: {line[:120]!r}")
    if marker and not MARKER.fullmatch(marker):
        raise _bad(f"has a marker that is not one: {marker[:120]!r}")
    if normal(named[1]) in INSTALLERS:
        raise _bad(f"pins {named[1]}, which installs the others and comes from the host")
    return Pin(what, marker, hashes)


def _bad(what: str) -> RefusedError:
    return RefusedError("bundle-content", f"requirements.lock {what}.")
