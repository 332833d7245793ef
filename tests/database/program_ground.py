"""A throw-away server with a shop in it, and one of the database host's programs pointed at it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import psycopg

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "roles/backups/files/database_backup"


@dataclass(frozen=True)
class Ground:
    """directory: socket, data/, the program and its files. Every file there goes with the test."""

    directory: Path
    version: int
    PROGRAM: ClassVar[str]
    CONFIG: ClassVar[str]
    MARKS: ClassVar[str]

    @property
    def marks(self) -> Path:
        return self.directory / self.MARKS

    @property
    def config(self) -> Path:
        return self.directory / self.CONFIG

    def connect(self, database: str = "shop", user: str = "postgres", **more: Any) -> psycopg.Connection[Any]:
        """A connection that commits by itself."""
        where = {"host": str(self.directory), "user": user, **more}
        return psycopg.connect(dbname=database, autocommit=True, **where)

    def words(self, *words: str) -> list[str]:
        """The program's command line."""
        return [sys.executable, "-I", str(self.directory / self.PROGRAM), "--json", *words]

    def environment(self, **more: str) -> dict[str, str]:
        """Where the program finds its settings; as whom it was called."""
        return {**os.environ, "SLIPWAY_BACKUP_CONFIG": str(self.config), **more}

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Begin a command of the program."""
        return subprocess.Popen(
            self.words(*words), env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )  # fmt: skip

    def ask(self, *words: str, **environment: str) -> tuple[int, dict[str, Any]]:
        """(status, answer) of a command of the program."""
        done = subprocess.run(
            self.words(*words),
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.startswith("{"), done.stderr
        return done.returncode, json.loads(done.stdout)

    def done(self, *words: str) -> dict[str, Any]:
        """The result of a command that has to go well."""
        status, answer = self.ask(*words)
        assert status == 0, answer
        return dict(answer["result"])

    def refused(self, status: int, *words: str) -> str:
        """What a command says that has to end with this status."""
        ended, answer = self.ask(*words)
        assert ended == status, answer
        return str(answer["message"])

    def mark(self, name: str) -> dict[str, Any]:
        """latest, restore-test or look, as whoever looks at the database reads it."""
        return dict(json.loads((self.marks / f"{name}.json").read_text()))
