"""A migration's lines as they happen, out of its unit's journal on the host, which the user who deploys may read.

A courtesy: the migration runs in its unit whether anybody reads or not, and no fault here is a fault of it.
"""

from __future__ import annotations

import json
import shlex
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fabfile.hosts import logs
from fabfile.hosts.connection import CHUNK, UNREACHABLE, Remote
from fabfile.migration import events

# How long the last lines may take after the host has said that the unit ended; and when it never began.
LAST_LINES_SECONDS = 3.0
NO_LINES_SECONDS = 0.3


@contextmanager
def following(
    remote: Remote,
    app: str,
    release: str,
    tell: Callable[[str], None],
    titles: Mapping[str, str] | None = None,
    since: float | None = None,
) -> Iterator[None]:
    """Tell each line of a release's migration while the block runs. since: seconds since 1970; from now when None."""
    reader = _Reader(remote, f"{app}-migrate@{release}.service", tell, titles or {})
    reader.start(since)
    try:
        yield
    finally:
        reader.stop()


class _Reader:
    def __init__(
        self, remote: Remote, unit: str, tell: Callable[[str], None], titles: Mapping[str, str]
    ) -> None:
        self.remote, self.tell, self.titles = remote, tell, titles
        self.unit = unit
        self.seen = False
        self.ended = threading.Event()
        self.channel: Any = None
        self.thread = threading.Thread(target=self._read, name="migration", daemon=True)

    def start(self, since: float | None) -> None:
        words = ["journalctl", "--quiet", "--no-pager", "--output=json", "--follow", "--lines=all"]
        # The host's own clock, read before the migration can begin.
        moment = "--since=@$(date +%s.%N)" if since is None else f"--since=@{since:.6f}"
        try:
            self.channel = self.remote.session(optional=True)
            self.channel.exec_command(f"exec {shlex.join([*words, f'--unit={self.unit}'])} {moment}")
        except UNREACHABLE as failure:
            self.tell(
                f"its lines cannot be read ({failure}); it goes on without: fab audit says how it ended"
            )
            return
        self.thread.start()

    def stop(self) -> None:
        if self.thread.ident is None:
            return
        self.ended.wait(LAST_LINES_SECONDS if self.seen else NO_LINES_SECONDS)
        self.channel.close()
        self.thread.join(LAST_LINES_SECONDS)

    def _read(self) -> None:
        rest = b""
        try:
            while data := self.channel.recv(CHUNK):
                *whole, rest = (rest + data).split(b"\n")
                for line in whole:
                    self._line(line.decode("utf-8", "replace"))
        except UNREACHABLE:
            return
        finally:
            self.ended.set()

    def _line(self, line: str) -> None:
        try:
            entry = dict(json.loads(line))
        except (ValueError, TypeError):
            return
        self.seen = True
        # systemd's own entries about the unit: the one with a result is the last.
        if entry.get("UNIT") == self.unit:
            if entry.get("JOB_RESULT"):
                self.ended.set()
            return
        if said := events.sentence(logs.message(entry), self.titles):
            self.tell(said)
