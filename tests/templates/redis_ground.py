"""The rendered Redis of a host, run on this machine: the distribution's server of each platform, and who asks it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from ansible.plugins.filter.core import FilterModule
from jinja2 import Environment

from tests.lab import redis
from tests.unit.plugins.ansible_run import REPOSITORY

PASSWORD = "a-stand-in-of-the-vault-QWERTZ"
SUITES = {"Ubuntu-22": "bullseye", "Debian-12": "bookworm"}
ACL = "etc/slipway/{{ app_name }}/redis.acl.j2"


class RefusedError(Exception):
    """What Redis answered instead."""


class Asker:
    """A connection that speaks RESP2, as the service's does."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream, self.file = stream, stream.makefile("rb")

    def say(self, *words: str | bytes) -> object:
        """What a command answers: text, a number, a list or None. Raises RefusedError."""
        plain = [word.encode() if isinstance(word, str) else word for word in words]
        parts = [b"*%d\r\n" % len(plain), *(b"$%d\r\n%b\r\n" % (len(word), word) for word in plain)]
        self.stream.sendall(b"".join(parts))
        return self._answer()

    def _answer(self) -> object:
        line = self.file.readline().rstrip(b"\r\n").decode()
        if not line:
            raise ConnectionError("Redis hung up")
        kind, rest = line[:1], line[1:]
        if kind == "-":
            raise RefusedError(rest)
        if kind == "$":
            return None if rest == "-1" else self.file.read(int(rest) + 2)[:-2].decode()
        if kind == "*":
            return [self._answer() for _ in range(int(rest))]
        return int(rest) if kind == ":" else rest


def acl(**changed: object) -> str:
    """The file of who may ask, as the role renders it on a host."""
    environment = Environment(autoescape=False, trim_blocks=True)
    environment.filters.update(FilterModule().filters())
    text = (REPOSITORY / "templates" / ACL).read_text(encoding="utf-8")
    defaults = yaml.safe_load((REPOSITORY / "roles/redis/defaults/main.yml").read_text(encoding="utf-8"))
    said = {
        **defaults,
        "app_name": "shop",
        "redis_key_prefix": "shop:",
        "redis_password": PASSWORD,
        **changed,
    }
    return environment.from_string(text).render(said) + "\n"


@dataclass
class Server:
    """folder: what of the host it has."""

    folder: Path
    port: int
    pid: int

    def resident(self) -> int:
        """Megabytes that the kernel gave it."""
        said = Path(f"/proc/{self.pid}/status").read_text()
        return int(said.partition("VmRSS:")[2].split()[0]) // 1024

    def plain(self) -> Asker:
        stream = socket.socket(socket.AF_UNIX)
        stream.settimeout(10)
        stream.connect(str(self.folder / "run/shop.sock"))
        return Asker(stream)

    def secured(self, address: str, name: str, pair: Path | None) -> Asker:
        """By TLS, showing a pair of this path with .pem and .key, or nothing."""
        context = ssl.create_default_context(cafile=str(self.folder / "ssl/ca.pem"))
        if pair is not None:
            context.load_cert_chain(f"{pair}.pem", f"{pair}.key")
        plain = socket.create_connection((address, self.port), 10)
        return Asker(context.wrap_socket(plain, server_hostname=name))


@contextmanager
def running(tree: Path, folder: Path, suite: str, port: int = 0) -> Iterator[Server]:
    """The rendered settings of a tree, at places below a folder, until the block ends."""
    (folder / "run").mkdir(parents=True)
    (folder / "acl").write_text(acl())
    text = (tree / "etc/slipway/shop/redis.conf").read_text()
    for there, here in (
        ("/run/redis/", f"{folder}/run/"),
        ("/etc/slipway/shop/redis.acl", f"{folder}/acl"),
        ("/etc/ssl/slipway/", f"{folder}/ssl/"),
        ("/var/lib/redis", str(folder)),
        ("tls-port 6379", f"tls-port {port}"),
        ("supervised systemd", "supervised no"),
    ):
        text = text.replace(there, here)
    (folder / "redis.conf").write_text(text)
    log = folder / "redis.log"
    with log.open("w") as stream:
        server = subprocess.Popen(
            [redis.program_of(suite), folder / "redis.conf"], stdout=stream, stderr=stream
        )
    try:
        deadline = time.monotonic() + 20
        while "eady to accept connections" not in log.read_text():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield Server(folder, port, server.pid)
    finally:
        server.kill()
        server.wait(20)


def own_address() -> str:
    """An address of this machine that is not the loopback's; nothing is sent for it."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as asked:
        asked.connect(("192.0.2.1", 9))
        return str(asked.getsockname()[0])


def free_port() -> int:
    with contextlib.closing(socket.socket()) as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])
