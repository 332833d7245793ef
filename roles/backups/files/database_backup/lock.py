"""One run of a kind at a time: a kernel lock that goes when its last holder dies."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from database_backup import files
from database_backup.errors import LockHeldError, RefusedError

PAUSE = 0.2


@contextmanager
def held(path: Path, doing: str, patience: float = 0.0) -> Iterator[int]:
    """Holds the lock and yields its descriptor, for programs to inherit; waits for it so many seconds.

    Raises LockHeldError with who has it.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as failure:
        raise RefusedError(
            f"{path.parent} cannot be written ({failure.strerror}). Nothing was changed. It belongs to the user "
            "slipway_backup and is made by: ansible-playbook -i inventory/ENV playbooks/database.yml"
        ) from None
    try:
        _wait(descriptor, doing, time.monotonic() + patience)
        holder = {"pid": os.getpid(), "doing": doing, "since": files.utc_now()}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        yield descriptor
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _wait(descriptor: int, doing: str, until: float) -> None:
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise _held_error(descriptor, doing) from None
        time.sleep(PAUSE)


def _held_error(descriptor: int, doing: str) -> LockHeldError:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        who = f"process {holder['pid']} ({holder['doing']}) since {holder['since']}"
    except (ValueError, KeyError):
        # It has the lock and has not written its name yet.
        who = "a process that has just begun"
    return LockHeldError(
        f"{doing[0].upper()}{doing[1:]} was not begun: the same is being done by {who}. Nothing was changed. "
        "Wait for it, and type the same again."
    )
