"""Processes that die by SIGKILL at a chosen moment of their work, forked from one that is warm.

A moment is just before a statement or a commit reaches the server, so between two of them nothing is left
out. Deaths while the server works belong to tests that hold the server there.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine

from shop.cli.backfill import DECLARED
from shop.core import backfill, schema
from shop.core.configuration import load_settings
from shop.core.database import create_engine
from shop.core.logging import configure_logging
from shop.settings import MaintenanceSettings, MigrationSettings


def migrate() -> None:
    """As `shop migrate` does."""
    schema.upgrade(load_settings(MigrationSettings))


def fill() -> None:
    """As `shop backfill run` does, without its rests."""

    async def nothing(_: float) -> None:
        pass

    async def run() -> None:
        engine = create_engine(load_settings(MaintenanceSettings))
        try:
            await backfill.run(engine, DECLARED["double"], sleep=nothing)
        finally:
            await engine.dispose()

    asyncio.run(run())


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
        os.environ["SHOP_DATABASE_NAME"] = database
        status = 1
        try:
            Moments(last, lambda line: os.write(writing, line.encode()))
            {"migrate": migrate, "fill": fill}[sys.argv[2]]()
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        moments = pipe.read().splitlines()
    _, ended = os.waitpid(pid, 0)
    return {"moments": moments, "status": os.waitstatus_to_exitcode(ended)}


def main() -> None:
    """A line `DATABASE MOMENT` (0: none) in, a JSON object out, until the input ends."""
    configure_logging("error", "killed", stream="stderr")
    folder = Path(sys.argv[1])
    schema.migrations_directory = lambda: folder
    for line in sys.stdin:
        database, last = line.split()
        print(json.dumps(work(database, int(last) or None)), flush=True)


@dataclass
class Killer:
    """The warm process. folder: of migrations; what: `migrate` or `fill`."""

    process: "subprocess.Popen[str]"

    @classmethod
    def start(cls, folder: Path, what: str, environ: dict[str, str]) -> "Killer":
        path = os.pathsep.join([environ["PYTHONPATH"], str(Path(__file__).parent)])
        command = [sys.executable, "-c", PROGRAM, str(folder), what]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        return cls(subprocess.Popen(command, env={**environ, "PYTHONPATH": path}, text=True, **pipes))

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


# The backfill of the tests is declared as a release declares its own.
PROGRAM = """
import killing
from shop.cli.backfill import DECLARED
from test_backfill import DOUBLE
DECLARED["double"] = DOUBLE
killing.main()
"""
