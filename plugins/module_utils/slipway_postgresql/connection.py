"""One PostgreSQL cluster, spoken to by psql through its unix socket as the database superuser's OS user.

SQL goes in on standard input and nothing of it into argv, so no process list shows it.
"""

from __future__ import annotations

import glob
import os
import pwd
import re
import shutil
import subprocess
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .quoting import printable

ANSWER_SECONDS = 120
CONNECT_SECONDS = 10
CONNECTION_LOST = 2

ERROR_LINE = re.compile(r"psql:<stdin>:(\d+): (?:ERROR|FATAL|PANIC):\s+(.*)")
VERIFIER_TEXT = re.compile(r"SCRAM-SHA-256\$[^'\"\s]*")


class UnreachableError(Exception):
    """The cluster cannot be asked; `reason` is a clause."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class StatementError(Exception):
    """The server refused a statement: its `index` in what was sent, and the server's `message`."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index
        self.message = message


@dataclass(frozen=True)
class Server:
    """Where a cluster is and who may speak to it."""

    version: str
    cluster: str
    port: int
    socket_directory: str
    os_user: str
    role: str
    psql: str | None = None
    lock_timeout_seconds: int = 5

    def query(self, database: str, script: str) -> list[str]:
        """Lines that a read-only `script` prints in `database`."""
        return self._run(database, script, read_only=True).splitlines()

    def command(self, database: str, script: str) -> list[str]:
        """Lines that `script` prints in `database`; it may change things."""
        return self._run(database, script, read_only=False).splitlines()

    def execute(self, database: str, statements: Sequence[str], transaction: bool = True) -> None:
        """Run `statements` in order: all or none in a transaction, else one by one until one fails."""
        script = "BEGIN;\n" if transaction else "\n"
        ends = []
        for statement in statements:
            script += statement + ";\n"
            ends.append(script.count("\n"))
        try:
            self.command(database, script + ("COMMIT;\n" if transaction else ""))
        except StatementError as error:
            raise StatementError(bisect_left(ends, error.index), error.message) from None

    def run_as_owner(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run `command` as the cluster's OS user and return what it printed."""
        return subprocess.run(
            list(command),
            capture_output=True,
            text=True,
            cwd="/",
            env=self._environment(),
            timeout=ANSWER_SECONDS,
            check=False,
            **self._identity(),
        )

    def _run(self, database: str, script: str, read_only: bool) -> str:
        try:
            completed = subprocess.run(
                [
                    self._psql(),
                    "--no-psqlrc",
                    "--quiet",
                    "--no-align",
                    "--tuples-only",
                    "--no-password",
                    "--set=ON_ERROR_STOP=1",
                    "--file=-",
                ],
                input=script.encode(),
                capture_output=True,
                cwd="/",
                env=self._environment() | self._connection(database, read_only),
                timeout=ANSWER_SECONDS,
                check=False,
                **self._identity(),
            )
        except subprocess.TimeoutExpired:
            raise UnreachableError(f"it did not answer within {ANSWER_SECONDS} seconds") from None
        complaint = VERIFIER_TEXT.sub("SCRAM-SHA-256$…", completed.stderr.decode(errors="replace")).strip()
        if completed.returncode == 0:
            return str(completed.stdout, "utf-8")
        refusal = ERROR_LINE.search(complaint)
        if refusal and completed.returncode != CONNECTION_LOST:
            explanation = [refusal[2], *complaint[refusal.end() :].splitlines()]
            raise StatementError(int(refusal[1]), " ".join(printable(part).strip() for part in explanation))
        raise UnreachableError(" ".join(printable(line) for line in complaint.splitlines()))

    def _identity(self) -> dict[str, Any]:
        """Arguments that make a child process run as the cluster's OS user."""
        try:
            account = pwd.getpwnam(self.os_user)
        except KeyError:
            raise UnreachableError(f"the OS user {self.os_user} does not exist on this host") from None
        if os.geteuid() == account.pw_uid:
            return {}
        if os.geteuid() != 0:
            current = pwd.getpwuid(os.geteuid()).pw_name
            raise UnreachableError(
                f"this runs as {current}, which may not become {self.os_user} (the task needs `become: true`)"
            )
        groups = os.getgrouplist(account.pw_name, account.pw_gid)
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups}

    def _psql(self) -> str:
        """The client to use: the cluster's own, else the newest installed, else the one on PATH."""
        if self.psql:
            candidates = [self.psql]
        else:
            installed = glob.glob("/usr/lib/postgresql/[0-9]*/bin/psql")
            newest_first = sorted(installed, key=lambda path: float(path.split("/")[4]), reverse=True)
            candidates = [f"/usr/lib/postgresql/{self.version}/bin/psql", *newest_first]
            candidates.append(shutil.which("psql") or "")
        for candidate in candidates:
            if os.access(candidate, os.X_OK):
                return candidate
        raise UnreachableError("psql is not installed on this host (package postgresql-client)")

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "LANGUAGE": "C"}

    def _connection(self, database: str, read_only: bool) -> dict[str, str]:
        # A search_path of ours keeps objects planted in `public` out of a superuser's statements.
        options = {
            "search_path": "pg_catalog",
            "lc_messages": "C",
            "lock_timeout": f"{self.lock_timeout_seconds}s",
            "default_transaction_read_only": "on" if read_only else "off",
            "standard_conforming_strings": "on",
            "log_transaction_sample_rate": "0",
        }
        return {
            "PGHOST": self.socket_directory,
            "PGPORT": str(self.port),
            "PGUSER": self.role,
            "PGDATABASE": database,
            "PGCLIENTENCODING": "UTF8",
            "PGCONNECT_TIMEOUT": str(CONNECT_SECONDS),
            "PGAPPNAME": "slipway",
            "PGOPTIONS": " ".join(f"-c {name}={value}" for name, value in options.items()),
        }
