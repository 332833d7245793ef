"""What every command works with: the host, its journal, its units and, for a change, its lock."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from slipway.errors import NeedsRootError, StepError
from slipway.host import Host
from slipway.journal.writing import Journal
from slipway.systemd import Systemd
from slipway.turns import fence, lock
from slipway.turns.caller import account, caller

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


@dataclass(frozen=True)
class Session:
    """lock_descriptor: the held lock's file descriptor; -1 for a command that does not change releases."""

    host: Host
    journal: Journal
    systemd: Systemd
    lock_descriptor: int = -1


@dataclass(frozen=True)
class Report:
    """What a command did. result: JSON-serialisable. message: the same in a sentence, for a terminal."""

    changed: bool
    result: dict[str, Any]
    message: str = ""


def reading(host: Host, command: str) -> Session:
    check_root(host, command)
    return Session(host, Journal(host.journal, account()), Systemd(host))


@contextmanager
def changing(host: Host, command: str, wait: float, number: int | None = None) -> Iterator[Session]:
    """Holds the host's lock. number: the fence of the caller's lease, refused when a newer deploy was here."""
    with _prepared(host, command), lock.held(host.lock, command, caller(host), wait) as descriptor:
        session = Session(host, Journal(host.journal, caller(host), number), Systemd(host), descriptor)
        fence.admit(host, session.journal, number)
        yield session


@contextmanager
def noting(host: Host, command: str, number: int | None = None) -> Iterator[Session]:
    """Without the host's lock: for what is said and watched while a release is being changed."""
    with _prepared(host, command):
        session = Session(host, Journal(host.journal, caller(host), number), Systemd(host))
        fence.admit(host, session.journal, number)
        yield session


@contextmanager
def backfilling(host: Host, command: str, wait: float, number: int | None = None) -> Iterator[Session]:
    """With a lock of its own beside the host's, which a migration may hold for as long as a backfill is in its way."""
    with _prepared(host, command), lock.held(host.backfill_lock, command, caller(host), wait):
        session = Session(host, Journal(host.journal, caller(host), number), Systemd(host))
        fence.admit(host, session.journal, number)
        yield session


@contextmanager
def executing(host: Host, command: str, wait: float, number: int | None = None) -> Iterator[Session]:
    """With a lock of its own: one command of the service at a time, beside whatever is done to its releases."""
    with _prepared(host, command), lock.held(host.exec_lock, command, caller(host), wait):
        session = Session(host, Journal(host.journal, caller(host), number), Systemd(host))
        fence.admit(host, session.journal, number)
        yield session


@contextmanager
def leasing(host: Host, command: str) -> Iterator[Session]:
    """For the lease, which compares fences by itself; the heartbeat comes while a step holds the host's lock."""
    with _prepared(host, command):
        yield Session(host, Journal(host.journal, caller(host)), Systemd(host))


@contextmanager
def _prepared(host: Host, command: str) -> Iterator[None]:
    """A request to end (SIGTERM, a cut connection) ends the running step in order."""
    check_root(host, command)
    # Readable by the app and writable by root alone, whatever the caller's umask.
    os.umask(0o022)
    host.ensure_layout()
    Journal(host.journal, account()).keep_reserve()
    handlers = {number: signal.signal(number, _interrupt) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def check_root(host: Host, command: str) -> None:
    if os.geteuid() != 0 and str(host.root) == "/":
        raise NeedsRootError("needs-root", f"`{command}` needs root.", f"Type: sudo {command}")


def _interrupt(number: int, frame: FrameType | None) -> None:
    # Undoing is bounded in time; a second request must not stop it half way.
    for other in ENDING:
        signal.signal(other, signal.SIG_IGN)
    name = signal.Signals(number).name
    raise StepError(
        "interrupted",
        f"Interrupted by {name}; the running step was ended and undone. `slipway status` shows the state; "
        "the same command again goes on from there.",
        signal=name,
    )
