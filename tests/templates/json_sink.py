"""A sink of JSON lines in a ground's network: TLS both ways, an object a line, as Logstash's json_lines takes them."""

from __future__ import annotations

import ctypes
import json
import os
import re
import socket
import ssl
import struct
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.templates.log_ground import COLLECTOR, Ground
from tests.unit.plugins.ansible_run import load_plugin

PORT, NAME = 5000, "elk.example"
CLONE_NEWNET = 0x40000000


class Sink:
    """objects: what came, in order; broken: lines that are none. It reads while it is started."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.objects: list[dict[str, Any]] = []
        self.broken: list[bytes] = []
        self.connections: list[socket.socket] = []
        self.listener: socket.socket | None = None

    def start(self, name: str = NAME, days: int = 90, authority: str = "") -> None:
        """With a certificate of that name, and one of the hosts' authority asked from who connects."""
        folder = self.ground.folder
        issued = folder / "sink" / (authority or "own")
        issued.mkdir(parents=True, exist_ok=True)
        plugin = load_plugin("action/private_certificate")
        for old in issued.glob(f"{name}.*"):
            old.unlink()
        signer = plugin.ensure_authority(issued if authority else folder)
        plugin.ensure_certificate(issued, signer, name=name, names=[name], addresses=[], days=days)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.pem"))
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(issued / f"{name}.pem", issued / f"{name}.key")
        ready = threading.Event()
        threading.Thread(target=self._listen, args=(context, ready), daemon=True).start()
        assert ready.wait(10)

    def stop(self) -> None:
        """As one that is killed: what was sent and not read is gone."""
        assert self.listener is not None
        ended = [self.listener, *self.connections]
        self.listener, self.connections = None, []
        for each in ended:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with suppress(OSError):
                # Not TLS's own: what is read after that would be read as it is on the wire.
                socket.socket.shutdown(each, socket.SHUT_RDWR)
            each.close()

    def numbers(self, kind: str) -> set[int]:
        """Of the lines `number N of KIND` that came."""
        said = "\n".join(str(each["message"]) for each in list(self.objects))
        return {int(number) for number in re.findall(rf"number (\d+) of {kind}\b", said)}

    def _listen(self, context: ssl.SSLContext, ready: threading.Event) -> None:
        # A thread may be in another network than its process.
        namespace = os.open(Path(f"/proc/{self.ground.network.pid}/ns/net"), os.O_RDONLY)
        assert ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET) == 0
        os.close(namespace)
        listener = self.listener = socket.create_server((COLLECTOR, PORT))
        ready.set()
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._read, args=(context, accepted), daemon=True).start()

    def _read(self, context: ssl.SSLContext, accepted: socket.socket) -> None:
        try:
            connection = context.wrap_socket(accepted, server_side=True)
            self.connections.append(connection)
            with connection.makefile("rb") as lines:
                for line in lines:
                    if connection not in self.connections:
                        return
                    self._take(line)
        except (OSError, ValueError):
            # The other side refused our certificate, or we were stopped.
            accepted.close()

    def _take(self, line: bytes) -> None:
        # The last one before an end may be half a line, which a sink drops.
        if not line.endswith(b"\n"):
            return
        try:
            found = json.loads(line.decode("utf-8"))
            assert isinstance(found, dict)
            self.objects.append(found)
        except (ValueError, AssertionError):
            self.broken.append(line)
