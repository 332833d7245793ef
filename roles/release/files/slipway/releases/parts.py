"""A bundle that comes in parts: bytes as they are, and the names of wheels that are here already.

One line and what it announces, again and again: `bytes N` and N bytes, or `wheel SHA256` and nothing. All of it put
together is the bundle, byte for byte, and is judged as one that came whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from slipway.errors import RefusedError

LINE = re.compile(rb"(?:bytes ([0-9]{1,10})|wheel ([0-9a-f]{64}))\n")
LONGEST_LINE = 80


def joined(read: Callable[[], bytes], wheel: Callable[[str], Iterator[bytes]]) -> Iterator[bytes]:
    """The bundle's bytes. read: the next bytes that came, empty at the end. wheel: the bytes of one that is here."""
    waiting = b""
    while True:
        while b"\n" not in waiting[:LONGEST_LINE] and len(waiting) < LONGEST_LINE:
            if not (more := read()):
                break
            waiting += more
        if not waiting:
            return
        found = LINE.match(waiting)
        if not found:
            raise _wrong(f"have the line {waiting[:LONGEST_LINE]!r}")
        waiting = waiting[found.end() :]
        if found[2]:
            yield from wheel(found[2].decode())
            continue
        left = int(found[1])
        while left:
            waiting = waiting or read()
            if not waiting:
                raise _wrong(f"end {left} bytes before their end")
            yield waiting[:left]
            left, waiting = left - len(waiting[:left]), waiting[left:]


def _wrong(what: str) -> RefusedError:
    return RefusedError(
        "bundle-parts",
        f"The parts of the bundle on standard input {what}. Nothing was staged.",
        "Send it again.",
    )
