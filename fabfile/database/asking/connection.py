"""A way to a database over SSH without a password: one handshake for a socket's forward and the host's facts.

The server's Unix socket is forwarded into a folder of our own, so peer authentication sees the user who deploys. The
same SSH session runs a small program, which says what only the host knows and then waits for the end.
"""

from __future__ import annotations

import json
import pkgutil
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

from fabfile.database import texts
from fabfile.database.asking import host_facts, place, refusals, ssh
from fabfile.database.asking.place import Database
from fabfile.database.asking.refusals import DownError
from fabfile.errors import FabError
from fabfile.hosts.answers import UnreachableError
from fabfile.hosts.app_host import AppHost

if TYPE_CHECKING:
    from fabfile.hosts.environment import Environment

Connection = psycopg.Connection[Any]
Read = TypeVar("Read")
FACTS_SECONDS = 15.0
# Of one answer's line, in bytes.
LONGEST = 1 << 24
# The program comes first on standard input; whatever follows would be the end.
LOADER = "import sys; exec(sys.stdin.buffer.read(%d).decode())"


@dataclass
class Tunnel:
    """An open forward. socket: the folder that libpq is given as its host."""

    database: Database
    socket: Path
    process: subprocess.Popen[bytes]
    asked_at: float
    _facts: dict[str, Any] | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What the host said of itself (see host_facts). Raises UnreachableError."""
        if self._facts is None:
            assert self.process.stdout is not None
            self._facts = self._answer()
            self._facts["clock_apart"] = apart(self._facts["clock"], self.asked_at, time.time())
        return self._facts

    def _answer(self) -> dict[str, Any]:
        """The next JSON object; what a login shell prints before it is passed over."""
        assert self.process.stdout is not None
        noise = ""
        while line := self.process.stdout.readline(LONGEST):
            text = line.decode("utf-8", "replace").strip()
            if text.startswith(host_facts.MARK):
                return dict(json.loads(text.removeprefix(host_facts.MARK)))
            noise = noise or text
        failure = _lost(self.database.host, self.process)
        if noise:
            host = self.database.host
            raise UnreachableError(
                f"{host.name} ({host.address}) printed {texts.plain(noise, 80)!r} and did not say what db-status asks: "
                f"{failure}"
            )
        raise failure

    def refresh(self) -> None:
        """Ask the host anew; it answers while the server is asked."""
        assert self.process.stdin is not None
        if self._facts is not None:
            self._facts = None
            self.asked_at = time.time()
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
                connect_timeout=ssh.CONNECT_SECONDS,
                options=f"-c default_transaction_read_only=on -c statement_timeout={timeout_ms} -c lock_timeout=1000",
            )
        except psycopg.OperationalError as failure:
            raise refusals.of(host, self.database.name, role, failure) from None

    def to_look(self, application: str, timeout_ms: int = 5_000) -> tuple[Connection, str]:
        """(A session of who looks, how it was made if unusually). Raises DownError.

        When slipway_ops has all the sessions that it may have, slipway_signal looks: it sees as much of all sessions.
        """
        try:
            return self.connect("slipway_ops", application, timeout_ms), ""
        except refusals.RoleFullError as failure:
            try:
                return self.connect("slipway_signal", application, timeout_ms), f"{failure}"
            except DownError:
                raise failure from None


@contextmanager
def looking(
    environment: Environment, role: str = "slipway_ops", application: str = "slipway db-status"
) -> Iterator[Connection]:
    """An open connection to the environment's database, closed at the end. Raises UnreachableError, RefusedError."""
    with tunnel(place.of(environment)) as way:
        note = ""
        if role == "slipway_ops":
            connection, note = way.to_look(application)
        else:
            connection = way.connect(role, application)
        with connection:
            if note:
                print(note, file=sys.stderr)
            yield connection


class Reopened:
    """A connection for somebody who looks again and again: what failed is opened anew for the next look."""

    def __init__(self, environment: Environment, application: str) -> None:
        self.environment, self.application = environment, application
        self._opened = ExitStack()
        self._connection: Connection | None = None

    def __enter__(self) -> Reopened:
        return self

    def __exit__(self, *_failure: object) -> None:
        self._opened.close()

    def read(self, ask: Callable[[Connection], Read]) -> Read:
        """What is read by ask. Raises its FabError, UnreachableError."""
        try:
            if self._connection is None:
                way = looking(self.environment, application=self.application)
                self._connection = self._opened.enter_context(way)
            return ask(self._connection)
        except FabError:
            self._connection = None
            self._opened.close()
            raise


@contextmanager
def tunnel(database: Database) -> Iterator[Tunnel]:
    """An open forward to the server's socket, ended with the block. Raises UnreachableError."""
    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
        local = Path(database.sockets if database.here else folder, f".s.PGSQL.{database.port}")
        # Out of an archive it is no file.
        source = pkgutil.get_data(host_facts.__package__, "host_facts.py") or b""
        program = source + f"\nmain({json.dumps(place.facts_of(database))!r})\n".encode()
        command = ["python3", "-I", "-c", LOADER % len(program)]
        process = subprocess.Popen(
            command if database.here else ssh.command(
                database.host, shlex.join(command), local, f"{database.sockets}/{local.name}"
            ),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            # Ctrl-C is for who uses the connection, such as psql, and not for the connection.
            start_new_session=True,
        )  # fmt: skip
        try:
            assert process.stdin is not None
            began = time.time()
            try:
                process.stdin.write(program)
                process.stdin.flush()
            except BrokenPipeError:
                raise _lost(database.host, process) from None
            if not database.here:
                _await(local, process, database.host)
            yield Tunnel(database, local.parent, process, began)
        finally:
            end(process)


def apart(clock: float, asked: float, answered: float) -> float:
    """Seconds by which a clock is off at least, ahead or behind: it was read between these two moments of this one."""
    return min(clock - asked, 0.0) + max(clock - answered, 0.0)


def _await(local: Path, process: subprocess.Popen[bytes], host: AppHost) -> None:
    """Until ssh listens on the socket, which it does when it is let in."""
    deadline = time.monotonic() + ssh.CONNECT_SECONDS + FACTS_SECONDS
    while not local.exists():
        if process.poll() is not None:
            raise _lost(host, process)
        if time.monotonic() > deadline:
            seconds = ssh.CONNECT_SECONDS + FACTS_SECONDS
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
