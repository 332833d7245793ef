"""What was begun and what was done, a line each: a run that was killed is gone on with from here.

A step that has an end is not done again. What a step does can be done twice, for a kill between it and its line.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from database_backup import files
from database_backup.upgrade.settings import Settings

NAME = "journal.jsonl"
BEGIN, END, FAILED = "begin", "end", "failed"
# What an upgrade is as a whole, by the last of these that ended.
PREPARE, MOVE, FINISH, CANCEL = "prepare", "move", "finish", "cancel"


class Journal:
    """The lines of one upgrade. Whoever writes holds the lock."""

    def __init__(self, settings: Settings) -> None:
        self.path = settings.folder / NAME
        self.settings = settings
        self.lines = self._read()

    def _read(self) -> list[dict[str, Any]]:
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        # The last line may be half of one: whoever wrote it was killed, and had done nothing yet by it.
        return [json.loads(line) for line in text.split("\n")[:-1] if line]

    def write(self, step: str, phase: str, **facts: Any) -> None:
        """Appends a line, and has it on the disk before it returns."""
        line = {"at": files.utc_now(), "step": step, "phase": phase, **facts}
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            whole = os.lseek(descriptor, 0, os.SEEK_END)
            if whole and os.pread(descriptor, 1, whole - 1) != b"\n":
                os.ftruncate(descriptor, os.pread(descriptor, whole, 0).rfind(b"\n") + 1)
            os.write(descriptor, f"{json.dumps(line)}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        files.sync(self.path.parent)
        self.lines.append(line)

    @contextmanager
    def step(self, name: str, again: bool = False, **facts: Any) -> Iterator[dict[str, Any] | None]:
        """Yields what its end will say besides, or None when it has ended already in this act (again: even then)."""
        if not again and self.done(name):
            yield None
            return
        self.write(name, BEGIN, **facts)
        said: dict[str, Any] = {}
        began = time.monotonic()
        yield said
        self.write(name, END, **facts, **said, seconds=round(time.monotonic() - began, 3))

    def _act(self) -> list[dict[str, Any]]:
        """The lines since the newest act (prepare, move, finish, cancel) began."""
        for place in range(len(self.lines) - 1, -1, -1):
            line = self.lines[place]
            if line["step"] in (PREPARE, MOVE, FINISH, CANCEL) and line["phase"] == BEGIN:
                return self.lines[place:]
        return []

    def done(self, name: str) -> bool:
        """Whether a step of the newest act has ended."""
        return any(line["step"] == name and line["phase"] == END for line in self._act()[1:])

    @property
    def unfinished(self) -> dict[str, Any]:
        """The first line of the newest act, {} when that has ended or was given up."""
        act = self._act()
        ended = any(line["step"] == act[0]["step"] and line["phase"] != BEGIN for line in act[1:])
        return {} if not act or ended else act[0]

    @property
    def prepared(self) -> bool:
        """Whether both clusters are there, one following the other."""
        ended = [line["step"] for line in self.lines if line["phase"] == END]
        acts = [step for step in ended if step in (PREPARE, MOVE, FINISH, CANCEL)]
        return bool(acts) and acts[-1] in (PREPARE, MOVE)

    @property
    def serving(self) -> str:
        """The version that serves, as far as moves have ended."""
        moves = [line for line in self.lines if line["step"] == MOVE and line["phase"] == END]
        return str(moves[-1]["to"]) if moves and self.prepared else self.settings.old.version

    def last(self, step: str) -> dict[str, Any]:
        """The newest end of a step, {} when there is none."""
        ended = [line for line in self.lines if line["step"] == step and line["phase"] == END]
        return ended[-1] if ended else {}
