"""The fence: the highest number a deploy has come with. A lower one belongs to a deploy that was taken over from.

A deploy that was frozen wakes up believing that it still holds the lease; here it learns that it does not.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from slipway.errors import FenceStaleError, StepError
from slipway.files import write_atomically
from slipway.host import Host
from slipway.journal.writing import Journal


def read(host: Host) -> int:
    """The highest number seen; 0 before the first. Raises StepError when the file holds none."""
    try:
        return int(host.fence.read_bytes())
    except FileNotFoundError:
        return 0
    except ValueError:
        raise StepError(
            "fence-damaged",
            f"{host.fence} holds no number any more, so no deploy can be told from an older one. Nothing was changed. "
            f"`slipway journal` shows the last fence; write it there, and one higher than it for the next lease.",
        ) from None


@contextmanager
def guarded(host: Host) -> Iterator[None]:
    """One at a time reads and raises the fence and the lease; held for milliseconds, never while a step runs."""
    descriptor = os.open(host.lease_lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def raise_to(host: Host, number: int) -> None:
    """The caller is guarded."""
    write_atomically(host.fence, f"{number}\n".encode(), 0o640)


def admit(host: Host, journal: Journal, number: int | None) -> None:
    """Lets a command with this number in, and keeps out all lower ones from now on. None: a person on the console."""
    if number is None:
        return
    with guarded(host):
        seen = read(host)
        if number < seen:
            raise stale(number, seen)
        if number > seen:
            journal.note("fence", details={"from": seen, "to": number})
            raise_to(host, number)


def stale(number: int, seen: int) -> FenceStaleError:
    return FenceStaleError(
        "fence-stale",
        f"A newer deploy has taken over: it came with fence {seen}, this command with {number}.",
        "Whoever typed it has lost the lease and must not go on. `slipway status` shows who holds it now.",
        fence=number,
        seen=seen,
    )
