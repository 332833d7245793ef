"""One change at a time on a host: a kernel lock that goes when its last holder dies.

Programs slipway starts inherit it: a pip left behind by a killed run still keeps the next run out.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from slipway.clock import utc_now
from slipway.errors import LockHeldError

# `slipway status` takes the lock for an instant to see whether it is free; that must not turn a change away.
GRACE_SECONDS = 0.5


@contextmanager
def held(path: Path, command: str, who: str, wait: float = 0.0) -> Iterator[int]:
    """Holds the lock and yields its descriptor. wait: seconds to wait for another run to end."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _acquire(descriptor, wait)
        holder = {"pid": os.getpid(), "command": command, "since": utc_now(), "who": who}
        # Who holds it is a courtesy: a full disk must not stop a rollback.
        with suppress(OSError):
            _write(descriptor, json.dumps(holder).encode())
        yield descriptor
        with suppress(OSError):
            _write(descriptor, b"")
    finally:
        os.close(descriptor)


def holder(path: Path) -> dict[str, Any] | None:
    """Who holds the lock now (pid, command, since, who, alive), or None when it is free."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        return _read_holder(descriptor)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, wait: float) -> None:
    deadline = time.monotonic() + max(wait, GRACE_SECONDS)
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise _held_error(_read_holder(descriptor), wait) from None
            time.sleep(0.05)


def _held_error(found: dict[str, Any], wait: float) -> LockHeldError:
    waited = f" (waited {wait:g} s)" if wait else ""
    if found["alive"]:
        state = f"It is running `{found['command']}` since {found['since']}, started by {found['who']}."
    else:
        state = (
            f"That run (`{found['command']}`, since {found['since']}) is dead, "
            "but a program it started is still finishing and keeps the lock until it ends."
        )
    return LockHeldError(
        "lock-held",
        f"Another change holds this host's lock{waited}: process {found['pid']}. {state}",
        "Wait for it with `--wait SECONDS`; `slipway status` shows how far it is.",
        holder=found,
    )


def _read_holder(descriptor: int) -> dict[str, Any]:
    try:
        found = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        # The holder has the lock but has not written its name yet.
        found = {"pid": None, "command": "unknown", "since": "just now", "who": "unknown"}
    found["alive"] = found["pid"] is None or Path(f"/proc/{found['pid']}").exists()
    return dict(found)


def _write(descriptor: int, data: bytes) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, data, 0)
