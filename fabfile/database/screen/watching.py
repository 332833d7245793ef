"""Looking again and again: redrawn in place on a terminal, block after block into a pipe, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import Generic, TypeVar

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from fabfile.database import texts
from fabfile.database.findings import Finding, Level
from fabfile.database.screen import tables
from fabfile.errors import FabError, RefusedError

Seen = TypeVar("Seen")
LEAST, MOST = 1.0, 3600.0


def interval(text: str) -> float:
    """Seconds between two looks, 0.0 for an empty text: look once. Raises RefusedError."""
    if not text:
        return 0.0
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not LEAST <= seconds <= MOST:
        raise RefusedError(f"--watch {text} is not a number of seconds from {LEAST:g} to {MOST:g}.")
    return seconds


class Standing:
    """Since when each check has been other than OK, as far as this watch has seen."""

    def __init__(self) -> None:
        self.since: dict[str, datetime] = {}

    def note(self, findings: Iterable[Finding], now: datetime) -> dict[str, datetime]:
        """Remember what is wrong now, and forget what is over. Returns the moment each was first seen."""
        wrong = {finding.check for finding in findings if finding.level is not Level.OK}
        self.since = {check: self.since.get(check, now) for check in wrong}
        return self.since


class Watch(Generic[Seen]):
    """look: reads anew. draw: what was read, as it fits the console. code: its exit code."""

    def __init__(
        self,
        look: Callable[[], Seen],
        draw: Callable[[Seen, Console], RenderableType],
        code: Callable[[Seen], int],
        out: Console,
    ) -> None:
        self.look, self.draw, self.code, self.out = look, draw, code, out
        self.last = Level.UNKNOWN.value
        self._drawn: RenderableType = Text("")
        self._read_at = datetime.now(UTC)

    def run(self, seconds: float) -> int:
        """Look every so many seconds until Ctrl-C or the end of the pipe; the exit code of the last look.

        A first look that fails raises its FabError; a later one is said on the screen, and the next is tried.
        """
        with _interruptible():
            try:
                first = self._see(self.look())
                if self.out.is_terminal and not self.out.is_dumb_terminal:
                    self._redraw(first, seconds)
                else:
                    self._append(first, seconds)
            except KeyboardInterrupt:
                return self.last
            except BrokenPipeError:
                # Whoever read has seen enough; the interpreter's own flush at its end must find somewhere to go.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return self.last

    def _see(self, seen: Seen) -> RenderableType:
        self.last = self.code(seen)
        self._read_at = datetime.now(UTC)
        self._drawn = self.draw(seen, self.out)
        return self._drawn

    def _again(self) -> RenderableType:
        try:
            return self._see(self.look())
        except FabError as failure:
            self.last = Level.UNKNOWN.value
            stale = f"UNKNOWN   {failure} What follows was read at {self._read_at:%H:%M:%S} UTC."
            said = tables.encodable(texts.plain(stale), self.out.encoding)
            return Group(Text(said, style="bold magenta"), Text(""), self._drawn)

    def _redraw(self, first: RenderableType, seconds: float) -> None:
        with Live(
            first, console=self.out, screen=True, auto_refresh=False, vertical_overflow="ellipsis"
        ) as live:
            live.refresh()
            while True:
                time.sleep(seconds)
                live.update(self._again(), refresh=True)

    def _append(self, first: RenderableType, seconds: float) -> None:
        self._print(first)
        while True:
            time.sleep(seconds)
            self._print(self._again())

    def _print(self, block: RenderableType) -> None:
        self.out.print(block, soft_wrap=True)
        self.out.print()
        self.out.file.flush()


@contextmanager
def _interruptible() -> Iterator[None]:
    """A terminal that is closed, or a kill, ends the watch as Ctrl-C does: with the screen given back."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
