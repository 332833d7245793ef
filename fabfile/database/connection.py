"""A way to a database over SSH without a password: one handshake for a socket's forward and the host's facts.

The server's Unix socket is forwarded into a folder of our own, so peer authentication sees the user who deploys. The
same SSH session runs a small program, which says what only the host knows and then waits for the end.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from fabfile.database import host_facts, place
from fabfile.database.place import Database
from fabfile.environment import AppHost, Environment
from fabfile.remote import UnreachableError

Connection = psycopg.Connection[Any]
SOCKETS = "/var/run/postgresql"
CONNECT_SECONDS = 10
FACTS_SECONDS = 15.0
PROGRAM = Path(host_facts.__file__)
# The program comes first on standard input; whatever follows would be the end.
LOADER = "import sys; exec(sys.stdin.buffer.read(%d).decode())"


class DownError(UnreachableError):
    """The host answers, its server does not take a connection. cause: PostgreSQL's or the socket's own word."""

    def __init__(self, message: str, cause: psycopg.OperationalError) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass
class Tunnel:
    """An open forward. socket: the folder that libpq is given as its host."""

    database: Database
    socket: Path
    process: subprocess.Popen[bytes]
    _facts: dict[str, Any] | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What the host said of itself (see host_facts). Raises UnreachableError."""
        if self._facts is None:
            assert self.process.stdout is not None
            line = self.process.stdout.readline()
            if not line:
                raise _lost(self.database.host, self.process)
            self._facts = dict(json.loads(line))
            # Positive is ahead of this machine; the way back is within any threshold.
            self._facts["clock_apart"] = self._facts["clock"] - time.time()
        return self._facts

    def refresh(self) -> None:
        """Ask the host anew; it answers while the server is asked."""
        assert self.process.stdin is not None
        if self._facts is not None:
            self._facts = None
            try:
                self.process.stdin.write(b"\n")
                self.process.stdin.flush()
            except BrokenPipeError:
                raise _lost(self.database.host, self.process) from None

    def connect(self, role: str, application: str, timeout_ms: int = 5_000) -> Connection:
        """A session that only reads, and waits for nothing long. Raises DownError."""
        host = self.database.host
        try:
            return psycopg.connect(
                host=str(self.socket),
                port=self.database.port,
                user=role,
                dbname=self.database.name,
                application_name=application,
                autocommit=True,
                connect_timeout=CONNECT_SECONDS,
                options=f"-c default_transaction_read_only=on -c statement_timeout={timeout_ms} -c lock_timeout=1000",
            )
        except psycopg.OperationalError as failure:
            reason = str(failure).strip().rpartition("failed: ")[2]
            raise DownError(
                f"PostgreSQL on {host.name} ({host.address}) takes no connection: {reason}. Type: fab db-status",
                failure,
            ) from None


@contextmanager
def looking(
    environment: Environment, role: str = "slipway_ops", application: str = "slipway db-status"
) -> Iterator[Connection]:
    """An open connection to the environment's database, closed at the end. Raises UnreachableError, RefusedError."""
    with tunnel(place.of(environment)) as way, way.connect(role, application) as connection:
        yield connection


@contextmanager
def tunnel(database: Database) -> Iterator[Tunnel]:
    """An open forward to the server's socket, ended with the block. Raises UnreachableError."""
    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
        local = Path(folder, f".s.PGSQL.{database.port}")
        program = PROGRAM.read_bytes() + f"\nmain({_arguments(database)!r})\n".encode()
        process = subprocess.Popen(
            command(
                database.host, shlex.join(["python3", "-I", "-c", LOADER % len(program)]), forward=local,
                remote=f"{SOCKETS}/{local.name}",
            ),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            # Ctrl-C is for who uses the connection, such as psql, and not for the connection.
            start_new_session=True,
        )  # fmt: skip
        try:
            assert process.stdin is not None
            try:
                process.stdin.write(program)
                process.stdin.flush()
            except BrokenPipeError:
                raise _lost(database.host, process) from None
            _await(local, process, database.host)
            yield Tunnel(database, Path(folder), process)
        finally:
            end(process)


def command(host: AppHost, remote_command: str, forward: Path | None = None, remote: str = "") -> list[str]:
    """The words of an ssh that asks nothing, trusts no unknown host, and shares no other connection."""
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": f'"{host.known_hosts}"',
        "GlobalKnownHostsFile": "/dev/null",
        "ExitOnForwardFailure": "yes",
        "ConnectTimeout": str(CONNECT_SECONDS),
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "3",
        "ControlMaster": "no",
        "ControlPath": "none",
        "LogLevel": "ERROR",
    }
    words = ["ssh", "-T", "-p", str(host.port), "-l", host.user]
    if host.key_file:
        words += ["-i", str(host.key_file), "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"]
    for name, value in options.items():
        words += ["-o", f"{name}={value}"]
    if forward:
        words += ["-L", f"{forward}:{remote}"]
    return [*words, "--", host.address, remote_command]


def _arguments(database: Database) -> str:
    return json.dumps(
        {
            "data": f"/var/lib/postgresql/{database.version}/{database.cluster}",
            "unit": f"postgresql@{database.version}-{database.cluster}.service",
            "lock": f"{SOCKETS}/.s.PGSQL.{database.port}.lock",
            "markers": f"/var/backups/slipway/{database.name}",
            "live": "/srv/shop/current/manifest.json",
        }
    )


def _await(local: Path, process: subprocess.Popen[bytes], host: AppHost) -> None:
    """Until ssh listens on the socket, which it does when it is let in."""
    deadline = time.monotonic() + CONNECT_SECONDS + FACTS_SECONDS
    while not local.exists():
        if process.poll() is not None:
            raise _lost(host, process)
        if time.monotonic() > deadline:
            seconds = CONNECT_SECONDS + FACTS_SECONDS
            raise UnreachableError(
                f"{host.name} ({host.address}) let nobody in over SSH for {seconds:.0f} s. Type: fab status"
            )
        time.sleep(0.005)


def _lost(host: AppHost, process: subprocess.Popen[bytes]) -> UnreachableError:
    end(process)
    assert process.stderr is not None
    said = process.stderr.read().decode(errors="replace").strip().splitlines()
    reason = said[-1] if said else f"ssh ended with status {process.returncode}"
    return UnreachableError(
        f"{host.name} ({host.address}) cannot be reached over SSH: {reason}. Nothing was changed. Type: fab status"
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process of ours."""
    if process.poll() is None:
        process.terminate()
    process.wait()
