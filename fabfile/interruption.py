"""Ctrl-C, once or often, ends a rollout in one state and with a sentence: the first is obeyed, those after it wait."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from fabfile.errors import InterruptError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _State:
    """asked: the signal that came first. shields: how many parts under way must not be cut."""

    def __init__(self) -> None:
        self.asked = ""
        self.obeyed = False
        self.shields = 0


_state = _State()


@contextmanager
def in_order() -> Iterator[None]:
    """While the block runs, the first signal raises InterruptError in it; further ones are told to wait."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # What is ignored stays so: nohup means it.
    heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _handle) for number in heeded}
    _state.asked, _state.obeyed, _state.shields = "", False, 0
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def shielded() -> Iterator[None]:
    """The block is bounded in time and must come to its end: a signal is noted, and obeyed at the next `obey`."""
    _state.shields += 1
    try:
        yield
    finally:
        _state.shields -= 1


def obey() -> None:
    """Raise InterruptError for a signal that came while the work was shielded."""
    if _state.asked and not _state.obeyed:
        _state.obeyed = True
        raise InterruptError(f"Interrupted by {_state.asked}.")


def _handle(number: int, frame: FrameType | None) -> None:
    name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    if _state.asked or _state.shields:
        # Not print: the main thread may be in the middle of one.
        sys.stderr.write(f"{name}: this ends in a moment, in order; please wait.\n")
    _state.asked = _state.asked or name
    if not _state.obeyed and not _state.shields:
        obey()
