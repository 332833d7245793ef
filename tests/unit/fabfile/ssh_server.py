"""An SSH server in this process, on loopback: runs what is asked of it in a shell, and allows only so many sessions."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_SUCCEEDED,
)


class _Sessions(paramiko.ServerInterface):
    """most: sessions at a time on a connection."""

    def __init__(self, most: int, key: paramiko.PKey, transport: paramiko.Transport) -> None:
        self.most, self.key, self.transport = most, key, transport

    def check_channel_request(self, kind: str, chanid: int) -> int:
        full = len(self.transport._channels) >= self.most  # type: ignore[attr-defined]
        return OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED if full else OPEN_SUCCEEDED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return AUTH_SUCCESSFUL if key == self.key else AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=_perform, args=(channel, command.decode()), daemon=True).start()
        return True


def _perform(channel: paramiko.Channel, command: str) -> None:
    with subprocess.Popen(
        ["sh", "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        threading.Thread(target=_given, args=(channel, process.stdin), daemon=True).start()
        said = [
            threading.Thread(target=_passed_on, args=(process.stdout, channel.sendall)),
            threading.Thread(target=_passed_on, args=(process.stderr, channel.sendall_stderr)),
        ]
        for each in said:
            each.start()
        for each in said:
            each.join()
        process.wait()
    try:
        channel.send_exit_status(process.returncode)
    except OSError:
        return
    finally:
        channel.close()


def _given(channel: paramiko.Channel, to: IO[bytes]) -> None:
    """Standard input, to its end: that of the client's, or of the connection."""
    with suppress(OSError), to:
        for chunk in iter(lambda: channel.recv(1 << 16), b""):
            to.write(chunk)


def _passed_on(output: IO[bytes], send: Callable[[bytes], None]) -> None:
    """What a program says, as it says it."""
    for chunk in iter(lambda: output.read(1 << 16), b""):
        with suppress(OSError):
            send(chunk)


@contextmanager
def serving(key: paramiko.PKey, most: int) -> Iterator[tuple[int, paramiko.PKey]]:
    """The port, and the server's own key. key: who may log in."""
    own = paramiko.RSAKey.generate(2048)
    listening = socket.create_server(("127.0.0.1", 0))
    transports: list[paramiko.Transport] = []

    def accept() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            transport = paramiko.Transport(client)
            transport.add_server_key(own)
            transport.start_server(server=_Sessions(most, key, transport))
            transports.append(transport)

    threading.Thread(target=accept, daemon=True).start()
    yield listening.getsockname()[1], own
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    for transport in transports:
        transport.close()
