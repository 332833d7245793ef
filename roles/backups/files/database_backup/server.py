"""The server as the client programs see it: one psql that stays, for what belongs to one snapshot."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from database_backup.errors import FailedError
from database_backup.settings import Settings

END = "-- end of an answer --"
# Ours are the limits: a dump may take hours, and says nothing to its server meanwhile.
OPTIONS = (
    "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0 -c lock_timeout=30s -c search_path=pg_catalog "
    "-c client_min_messages=warning"
)
SHOWN = 2000


def environment(settings: Settings, name: str) -> dict[str, str]:
    """What the client programs find the server by; nothing of the caller's."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "PGHOST": str(settings.socket),
        "PGPORT": str(settings.port),
        "PGUSER": settings.user,
        "PGAPPNAME": f"slipway {name}",
        "PGOPTIONS": OPTIONS,
        "PGCONNECT_TIMEOUT": "10",
    }


def command(settings: Settings, program: str, *words: str) -> list[str]:
    """A client program that dies with us, however we die."""
    account = settings.account
    user = [f"--reuid={account}", f"--regid={account}", "--init-groups"] if account else []
    return ["/usr/bin/setpriv", "--pdeathsig", "KILL", *user, "--", str(settings.programs / program), *words]


def run(settings: Settings, name: str, program: str, *words: str, keeping: Sequence[int] = ()) -> str:
    """What a client program writes. keeping: descriptors it inherits. Raises FailedError with what it said."""
    done = subprocess.run(
        command(settings, program, *words),
        env=environment(settings, name),
        pass_fds=tuple(keeping),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise FailedError(f"{program} ended with status {done.returncode}: {shown(done.stderr)}")
    return done.stdout


def shown(text: str) -> str:
    """The end of what a program said, in one line."""
    return " ".join(text.split())[-SHOWN:] or "it said nothing"


class Session:
    """One connection to one database, kept as long as the session is entered."""

    def __init__(self, settings: Settings, database: str, name: str) -> None:
        self.settings, self.database, self.name = settings, database, name

    def __enter__(self) -> Session:
        self._errors = tempfile.TemporaryFile("w+")
        self._psql = subprocess.Popen(
            command(
                self.settings, "psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only",
                "--set=ON_ERROR_STOP=1", f"--dbname={self.database}",
            ),
            env=environment(self.settings, self.name),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )  # fmt: skip
        self.ask("SELECT 1;")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in (self._psql.stdin, self._psql.stdout):
            try:
                pipe and pipe.close()
            except OSError:
                # psql is gone already; what it said was raised.
                continue
        self._psql.wait()
        self._errors.close()

    def ask(self, script: str, **values: str) -> list[str]:
        """The lines that psql answers a script with. values: its :variables. Raises FailedError."""
        stdin, stdout = self._psql.stdin, self._psql.stdout
        assert stdin is not None
        assert stdout is not None
        settings = "".join(f"\\set {name} '{_quoted(value)}'\n" for name, value in values.items())
        try:
            stdin.write(f"{settings}{script}\n\\echo '{END}'\n")
            stdin.flush()
        except BrokenPipeError:
            raise self._failure() from None
        lines = []
        while (line := stdout.readline()) and line.rstrip("\n") != END:
            lines.append(line.rstrip("\n"))
        if not line:
            raise self._failure()
        return [line for line in lines if line]

    def rows(self, script: str, **values: str) -> list[Any]:
        """The rows of a script whose every row is one JSON value."""
        return [json.loads(line) for line in self.ask(script, **values)]

    def _failure(self) -> FailedError:
        self._psql.wait()
        self._errors.seek(0)
        return FailedError(f"the database {self.database} answers: {shown(self._errors.read())}")


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
