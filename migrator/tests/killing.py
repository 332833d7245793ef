"""Processes that die by SIGKILL at a chosen moment of their work, forked from one that is warm.

A moment is just before a statement or a commit reaches the server, so between two of them nothing is left
out. Deaths while the server works belong to tests that hold the server there.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine

from slipway_migrator import backfill, cli


class Moments:
    """Counts what the first connection sends; before number `last` it dies, or never."""

    def __init__(self, last: int | None, tell: Callable[[str], object]) -> None:
        self.last, self.tell, self.count = last, tell, 0
        self.first: object = None
        event.listen(Engine, "before_cursor_execute", lambda link, _, sql, *__: self.meet(link, sql))
        event.listen(Engine, "commit", lambda link: self.meet(link, "COMMIT"))

    def meet(self, link: Connection, what: str) -> None:
        """Another session of the process only looks on."""
        driver = link.connection.dbapi_connection
        self.first = self.first or driver
        if driver is not self.first:
            return
        self.count += 1
        self.tell(" ".join(what.split())[:100] + "\n")
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


def work(database: str, last: int | None) -> dict[str, Any]:
    """One process's life: its moments, and how it ended (-9: killed)."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.environ["NOTES_DATABASE_NAME"] = database
        status = 1
        try:
            Moments(last, lambda line: os.write(writing, line.encode()))
            with Path(os.devnull).open("w") as sys.stdout:
                status = cli.main(sys.argv[1:])
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        moments = pipe.read().splitlines()
    _, ended = os.waitpid(pid, 0)
    return {"moments": moments, "status": os.waitstatus_to_exitcode(ended)}


def main() -> None:
    """A line `DATABASE MOMENT` (0: none) in, a JSON object out, until the input ends."""
    # Without its rests.
    backfill.rest = lambda *_: 0.0  # type: ignore[assignment]
    for line in sys.stdin:
        database, last = line.split()
        print(json.dumps(work(database, int(last) or None)), flush=True)


@dataclass
class Killer:
    """The warm process, which performs one command of a service."""

    process: "subprocess.Popen[str]"

    @classmethod
    def start(cls, folder: Path, environ: Mapping[str, str], *words: str) -> "Killer":
        command = [sys.executable, __file__, "--project", str(folder), *words]
        return cls(
            subprocess.Popen(
                command,
                env={"PATH": os.environ["PATH"], **environ},
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        )

    def __call__(self, database: str, last: int = 0) -> tuple[int, list[str]]:
        """Work on a database, to the end or until before moment `last`: (status, the moments)."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{database} {last}\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return int(answer["status"]), list(answer["moments"])

    def stop(self) -> None:
        """End the warm process; those it forked have ended."""
        self.process.kill()
        self.process.communicate()


if __name__ == "__main__":
    main()
