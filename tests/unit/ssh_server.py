"""An SSH server in this process, on loopback: runs what is asked of it in a shell, and allows only so many sessions."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

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
        ["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        given = b"".join(iter(lambda: channel.recv(1 << 16), b""))
        output, errors = process.communicate(given)
    try:
        channel.sendall(output)
        channel.sendall_stderr(errors)
        channel.send_exit_status(process.returncode)
    except OSError:
        return
    finally:
        channel.close()


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
