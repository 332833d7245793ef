"""One app host over one SSH connection: performs commands of its `slipway`, several in one round trip."""

from __future__ import annotations

import json
import shlex
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fabric import Config, Connection
from invoke.exceptions import CommandTimedOut
from paramiko import RejectPolicy
from paramiko.ssh_exception import SSHException

from fabfile.environment import AppHost
from fabfile.errors import FabError, RefusedError

PROGRAM = "sudo -n /usr/local/sbin/slipway"
CONNECT_SECONDS = 10
# A peer that is gone without a word is noticed after a few of these, not after the kernel's two hours.
KEEPALIVE_SECONDS = 5
CHUNK = 1 << 16
# What a shell adds to the number of the signal that ended a command.
KILLED = 128
UNREACHABLE = (OSError, SSHException, EOFError)


class UnreachableError(FabError):
    """The host does not answer over SSH; what it serves goes on serving."""

    exit_code = 3


@dataclass(frozen=True)
class Answer:
    """What one command of slipway answered. code, message, details: of its error; code is "" when it went well."""

    command: str
    exit_code: int
    changed: bool = False
    result: dict[str, Any] = field(default_factory=dict)
    code: str = ""
    message: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.code


class Remote:
    """A connection to one app host, opened at first use and kept until it is closed."""

    def __init__(self, host: AppHost) -> None:
        self.host = host
        keys: dict[str, Any] = {"banner_timeout": CONNECT_SECONDS, "auth_timeout": CONNECT_SECONDS}
        if host.key_file:
            keys |= {"key_filename": str(host.key_file), "look_for_keys": False, "allow_agent": False}
        self.connection = Connection(
            host.address,
            user=host.user,
            port=host.port,
            connect_timeout=CONNECT_SECONDS,
            connect_kwargs=keys,
            config=Config(overrides={"run": {"in_stream": False}}),
        )
        # Slipways that were started and wait for their commands: at most one, and how many more are to follow it.
        self._waiting: deque[Any] = deque(maxlen=1)
        self._to_follow = 0

    @property
    def name(self) -> str:
        return self.host.name

    def open(self) -> None:
        """Connect. Raises UnreachableError, or RefusedError for a host whose key nobody vouches for."""
        client = self.connection.client
        client.set_missing_host_key_policy(RejectPolicy())
        try:
            client.load_host_keys(str(self.host.known_hosts))
        except OSError as failure:
            raise RefusedError(
                f"No host key can be checked: {self.host.known_hosts} cannot be read ({failure.strerror}). "
                "Nothing was changed."
            ) from None
        try:
            self.connection.open()
        except UNREACHABLE as failure:
            raise self._unreachable("cannot be reached", failure) from None
        self.connection.transport.set_keepalive(KEEPALIVE_SECONDS)

    def close(self) -> None:
        self.connection.close()

    def prepare(self, times: int) -> None:
        """Have slipway started ahead of the next `times` calls of perform, one at a time: they need not wait for it.

        One that waits has read nothing and ends with its connection. Where none could be started, perform starts it.
        """
        self._to_follow = times - 1
        try:
            channel = self.connection.transport.open_session(timeout=CONNECT_SECONDS)
            channel.exec_command(f"{PROGRAM} run")
        except UNREACHABLE:
            return
        self._waiting.append(channel)

    def perform(self, *commands: Sequence[str], seconds: float = 60.0) -> list[Answer]:
        """The answers of slipway's commands, one after another until one fails. Raises UnreachableError."""
        words = json.dumps([list(command) for command in commands])
        try:
            if waiting := self._taken():
                return self._told(waiting, words, seconds)
            done = self.connection.run(
                f"printf %s {shlex.quote(words)} | {PROGRAM} run",
                hide=True,
                warn=True,
                timeout=seconds,
                in_stream=False,
            )
        except (CommandTimedOut, TimeoutError):
            said = ", ".join(command[0] for command in commands)
            raise UnreachableError(
                f"{self.name} has not ended {said} within {seconds:g} s; it may still be at it, and keeps "
                "serving what it serves. Type: fab status"
            ) from None
        except UNREACHABLE as failure:
            raise self._unreachable("was lost", failure) from None
        return self._answers(done.stdout, done.stderr, done.return_code)

    def _taken(self) -> Any:
        """A slipway that waits, None when there is none or it has ended; the next one is started meanwhile."""
        # The heartbeat asks too, from its own thread: only one gets it.
        waiting = self._waiting.pop() if self._waiting else None
        if waiting is not None and self._to_follow:
            self.prepare(self._to_follow)
        return None if waiting is None or waiting.exit_status_ready() else waiting

    def _told(self, channel: Any, words: str, seconds: float) -> list[Answer]:
        channel.settimeout(seconds)
        channel.sendall(words.encode())
        channel.shutdown_write()
        return self._answers(*_heard(channel))

    def ship(
        self,
        bundle: Path,
        words: Sequence[str],
        seconds: float,
        sent: Callable[[int], None] = lambda count: None,
    ) -> Answer:
        """Give `slipway stage` a bundle on its standard input. sent: told the bytes of each chunk."""
        command = shlex.join(["stage", "--bundle=-", *words, "--json"])
        deadline = time.monotonic() + seconds
        try:
            channel = self.connection.transport.open_session(timeout=CONNECT_SECONDS)
            channel.settimeout(seconds)
            channel.exec_command(f"{PROGRAM} {command}")
            self._send(channel, bundle, sent)
            channel.settimeout(max(1.0, deadline - time.monotonic()))
            heard = _heard(channel)
        except UNREACHABLE as failure:
            raise self._unreachable("was lost", failure) from None
        return self._answers(*heard)[0]

    @staticmethod
    def _send(channel: Any, bundle: Path, sent: Callable[[int], None]) -> None:
        with bundle.open("rb") as file:
            while chunk := file.read(CHUNK):
                try:
                    channel.sendall(chunk)
                except OSError:
                    # The other side has refused it already, and says why.
                    break
                sent(len(chunk))
        channel.shutdown_write()

    def _answers(self, output: str, errors: str, status: int) -> list[Answer]:
        if status < 0:
            raise self._unreachable("was lost", EOFError("the connection ended before the answer"))
        try:
            said = json.loads(output)
        except ValueError:
            if status > KILLED:
                raise UnreachableError(
                    f"{self.name}: slipway was ended there by signal {status - KILLED} before it answered. What it had "
                    "begun is in its journal, and what is served goes on being served. Type: fab recover"
                ) from None
            shown = (errors.strip() or output.strip() or "nothing")[-2000:]
            raise UnreachableError(
                f"{self.name} cannot perform slipway (status {status}): {shown}\n"
                "Nothing was changed there. Is the host configured? Type: ansible-playbook -i inventory/ENV site.yml"
            ) from None
        return [_answer(one, status) for one in (said if isinstance(said, list) else [said])]

    def _unreachable(self, what: str, failure: Exception) -> UnreachableError:
        reason = str(failure) or type(failure).__name__
        return UnreachableError(f"{self.name} ({self.host.address}) {what} over SSH: {reason}.")


def _heard(channel: Any) -> tuple[str, str, int]:
    """All that a command says: output, errors, status."""
    output = b"".join(iter(lambda: channel.recv(CHUNK), b""))
    errors = b"".join(iter(lambda: channel.recv_stderr(CHUNK), b""))
    return output.decode(), errors.decode(), channel.recv_exit_status()


def _answer(said: dict[str, Any], status: int) -> Answer:
    error = said.get("error")
    if error is None:
        return Answer(said["command"], 0, bool(said["changed"]), said["result"])
    return Answer(
        said.get("command", ""),
        int(said.get("exit", status)),
        code=error["code"],
        message=error["message"],
        details=error.get("details") or {},
    )
