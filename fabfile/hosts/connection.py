"""One app host over one SSH connection: performs commands of its `slipway`, several in one round trip."""

from __future__ import annotations

import json
import shlex
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from fabric import Config, Connection
from paramiko import RejectPolicy
from paramiko.ssh_exception import ChannelException, SSHException

from fabfile.errors import RefusedError
from fabfile.hosts import answers
from fabfile.hosts.answers import MARKER
from fabfile.hosts.answers import Answer as Answer
from fabfile.hosts.answers import UnreachableError as UnreachableError
from fabfile.hosts.environment import AppHost

PROGRAM = "sudo -n /usr/local/sbin/slipway"
MARKING = f"echo {MARKER}; exec "
CONNECT_SECONDS = 10
# At a time on one connection: the work, and the lease's heartbeat.
SESSIONS = 2
SESSION_SECONDS = 30.0
SESSION_PAUSE_SECONDS = 0.1
# A peer that is gone without a word is noticed after a few of these, not after the kernel's two hours.
KEEPALIVE_SECONDS = 5
CHUNK = 1 << 16
UNREACHABLE = (OSError, SSHException, EOFError)


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
            # None: as the user's own ssh_config says.
            gateway=host.proxy or None,
            config=Config(overrides={"run": {"in_stream": False}}),
        )
        # Slipways that were started and wait for their commands: at most one, and how many more are to follow it.
        self._waiting: deque[Any] = deque(maxlen=1)
        self._to_follow = 0
        self._optional: list[Any] = []

    @property
    def name(self) -> str:
        return self.host.name

    @property
    def program(self) -> str:
        """slipway there, told which service is meant."""
        return f"{PROGRAM} --app={self.host.app}"

    @property
    def telling(self) -> str:
        """What starts it to wait for its commands."""
        return f"{MARKING}{self.program} run"

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
            channel.exec_command(self.telling)
        except UNREACHABLE:
            return
        self._waiting.append(channel)

    def perform(self, *commands: Sequence[str], seconds: float = 60.0) -> list[Answer]:
        """The answers of slipway's commands, one after another until one fails. Raises UnreachableError."""
        words = json.dumps([list(command) for command in commands])
        try:
            channel = self._taken()
            if channel is None:
                channel = self.session()
                channel.exec_command(self.telling)
            channel.settimeout(seconds)
            channel.sendall(words.encode())
            channel.shutdown_write()
            heard = _heard(channel)
        except TimeoutError:
            said = ", ".join(command[0] for command in commands)
            raise UnreachableError(
                f"{self.name} has not ended {said} within {seconds:g} s; it may still be at it, and keeps "
                "serving what it serves. Type: fab status"
            ) from None
        except UNREACHABLE as failure:
            raise self._unreachable("was lost", failure) from None
        return answers.of(self.name, *heard)

    def session(self, optional: bool = False) -> Any:
        """A channel for one command. optional: it may be ended when another one needs its place.

        sshd allows only so many on one connection (MaxSessions): the optional ones give way, and then this waits for
        one that is needed to end. Raises UnreachableError when there is none that could.
        """
        deadline = time.monotonic() + SESSION_SECONDS
        while True:
            try:
                channel = self.connection.transport.open_session(timeout=CONNECT_SECONDS)
            except ChannelException as refused:
                if optional:
                    raise
                if not self._made_room() and time.monotonic() > deadline:
                    raise UnreachableError(
                        f"{self.name} allows no further session on the connection that is there ({refused}). How many "
                        f"it allows is MaxSessions in its sshd's settings; {SESSIONS} are needed."
                    ) from None
                time.sleep(SESSION_PAUSE_SECONDS)
                continue
            if optional:
                self._optional.append(channel)
            return channel

    def _made_room(self) -> bool:
        """Whether a channel that nobody depends on was ended."""
        for channels in (self._waiting, self._optional):
            if channels:
                channels.pop().close()
                self._to_follow = 0
                return True
        return False

    def require_sessions(self, count: int = SESSIONS) -> None:
        """Raise RefusedError when sshd does not allow that many sessions at a time."""
        opened: list[Any] = []
        try:
            for _ in range(count):
                opened.append(self.connection.transport.open_session(timeout=CONNECT_SECONDS))
        except ChannelException:
            raise RefusedError(
                f"{self.name}: its sshd allows {len(opened)} session(s) at a time on a connection, and this needs "
                f"{count}: one for the work and one for the lease's heartbeat. Nothing was changed. Set MaxSessions "
                f"{count} or more in its sshd_config (10 is sshd's own default)."
            ) from None
        except UNREACHABLE as failure:
            raise self._unreachable("was lost", failure) from None
        finally:
            for channel in opened:
                channel.close()

    def _taken(self) -> Any:
        """A slipway that waits, None when there is none or it has ended; the next one is started meanwhile."""
        # The heartbeat asks too, from its own thread: only one gets it.
        try:
            waiting = self._waiting.pop()
        except IndexError:
            return None
        if self._to_follow:
            self.prepare(self._to_follow)
        return None if waiting.exit_status_ready() else waiting

    def ship(self, pieces: Iterable[bytes], words: Sequence[str], seconds: float) -> Answer:
        """Give `slipway stage` a bundle on its standard input, in pieces."""
        command = shlex.join(["stage", "--bundle=-", *words, "--json"])
        deadline = time.monotonic() + seconds
        try:
            channel = self.session()
            channel.settimeout(seconds)
            channel.exec_command(f"{MARKING}{self.program} {command}")
            self._send(channel, pieces)
            channel.settimeout(max(1.0, deadline - time.monotonic()))
            heard = _heard(channel)
        except UNREACHABLE as failure:
            raise self._unreachable("was lost", failure) from None
        return answers.of(self.name, *heard)[0]

    @staticmethod
    def _send(channel: Any, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            try:
                channel.sendall(piece)
            except OSError:
                # The other side has refused it already, and says why.
                break
        channel.shutdown_write()

    def _unreachable(self, what: str, failure: Exception) -> UnreachableError:
        reason = str(failure) or type(failure).__name__
        return UnreachableError(f"{self.name} ({self.host.address}) {what} over SSH: {reason}.")


def _heard(channel: Any) -> tuple[str, str, int]:
    """All that a command says: output, errors, status."""
    output = b"".join(iter(lambda: channel.recv(CHUNK), b""))
    errors = b"".join(iter(lambda: channel.recv_stderr(CHUNK), b""))
    status = channel.recv_exit_status()
    # Its place on the connection is free from now on.
    channel.close()
    return output.decode("utf-8", "replace"), errors.decode("utf-8", "replace"), status
