"""What strangers send to a host, and how much of it gets anywhere."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress

from tests.e2e import hosts
from tests.e2e.host_faults.fault import Do, Scene
from tests.e2e.host_faults.making import SERVICE
from tests.e2e.web import Site

STATUS = re.compile(rb"(?:^|\n)HTTP/1\.[01] (\d{3}) ")
# What a file of the system begins with, and an archive of Git.
OUTSIDE = re.compile(rb"root:.*:0:0:|\[core\]|BEGIN .*PRIVATE KEY")
PATHS = (
    "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc/passwd", "/..;/..;/etc/passwd",
    "/%252e%252e/etc/passwd", "/api/v1/../../../../etc/passwd", "//etc/passwd", "/.git/config", "/.env",
    "/static/../../../etc/passwd", "/%00/etc/passwd", "/..\\..\\etc\\passwd", "file:///etc/passwd",
    "/.well-known/acme-challenge/../../../etc/passwd", "/etc/ssl/slipway/host.key",
)  # fmt: skip
BODY = 32 << 20


def asked(site: Site, *pieces: bytes, seconds: float = 3) -> tuple[list[int], bytes]:
    """Send bytes over one connection; the statuses of all answers to them, and all that came."""
    said = b""
    with site.handshake(site.context()) as connection:
        connection.settimeout(seconds)
        # Whoever refuses a request does not read it to its end.
        with suppress(OSError):
            for piece in pieces:
                connection.sendall(piece)
        with suppress(OSError):
            while chunk := connection.recv(1 << 16):
                said += chunk
    return [int(status) for status in STATUS.findall(said)], said


def doubtful(host: str, word: str) -> Iterator[bytes]:
    """Requests that one reader may take for two, the second of which asks for a word; and headers without end."""
    inner = f"GET /{word} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    post = f"POST /api/v1/users HTTP/1.1\r\nHost: {host}\r\n"
    chunks = f"0\r\n\r\n{inner}"
    length = f"Content-Length: {len(chunks)}\r\n"
    for headers, body in (
        (f"Content-Length: 0\r\n{length}", inner),
        (f"Content-Length: 0, {len(inner)}\r\n", inner),
        (f"Content-Length: +{len(inner)}\r\n", inner),
        (f"{length}Transfer-Encoding : chunked\r\n", chunks),
        (f"{length}Transfer-Encoding: xchunked\r\n", chunks),
        (f"{length}Transfer-Encoding:\x0bchunked\r\n", chunks),
        (f"{length}Transfer-Encoding: chunked\r\n", chunks),
        (f"Transfer-Encoding: chunked\r\n{length}", chunks),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", chunks),
        (f"X-Folded: a\r\n Content-Length: {len(inner)}\r\nContent-Length: 0, 1\r\n", inner),
        (f"X-Nul: a\0b\r\nContent-Length: 0, {len(inner)}\r\n", inner),
        ("Transfer-Encoding: chunked\r\n", f"-1\r\n{inner}"),
        ("Transfer-Encoding: chunked\r\n", f"ffffffffffffffff1\r\n{inner}"),
        (f"X-Long: {'a' * (64 << 10)}\r\n", inner),
        ("".join(f"X-{number}: a\r\n" for number in range(10_000)), inner),
    ):
        yield f"{post}{headers}\r\n{body}".encode("latin-1")


def smuggling(scene: Scene) -> None:
    """How many requests in requests the service was asked, and how many it broke at."""
    site, word = scene.ground.site, f"smuggled-{uuid.uuid4().hex[:12]}"
    answers = [asked(site, request)[0] for request in doubtful(site.address, word)]
    print(answers)
    # 501 is nginx's own word for a Transfer-Encoding that it does not know.
    broke = [statuses for statuses in answers if statuses[:1] > [499] and statuses != [501]]
    time.sleep(2)
    asked_for = scene.ground.first.run(f"grep --count /{word} /var/log/shop/shop.log").stdout
    scene.took["let through"] = int(asked_for) + len(broke)


def outside(scene: Scene) -> None:
    """How many paths lead to what is not the service's."""
    site, wrong = scene.ground.site, []
    for path in PATHS:
        request = f"GET {path} HTTP/1.1\r\nHost: {site.address}\r\nConnection: close\r\n\r\n"
        statuses, said = asked(site, request.encode())
        if statuses not in ([400], [403], [404], [421]) or OUTSIDE.search(said):
            wrong.append((path, statuses))
    print(wrong)
    scene.took["let through"] = len(wrong)


def too_large(scene: Scene) -> None:
    """Bodies without end, with and without a length: how many are not refused by 413, and what a worker grows by."""
    site, host = scene.ground.site, scene.ground.first

    def memory() -> list[int]:
        return [int(size) for size in hosts.output(host, f"ps -o rss= --ppid {SERVICE}").split()]

    head = f"POST /api/v1/users HTTP/1.1\r\nHost: {site.address}\r\nContent-Type: application/json\r\n"
    chunk = b"10000\r\n" + bytes(1 << 16) + b"\r\n"
    before = max(memory())
    found = [
        asked(site, f"{head}Content-Length: {BODY}\r\n\r\n".encode())[0],
        asked(site, f"{head}Transfer-Encoding: chunked\r\n\r\n".encode(), *[chunk] * (BODY >> 16))[0],
    ]
    print(found)
    scene.took["let through"] = sum(statuses[:1] != [413] for statuses in found)
    scene.took["grown"] = max(0, max(memory()) - before) / 1024


def slow(kind: str, connections: int = 200, seconds: int = 30) -> Do:
    """Slow clients from the host's own addresses; how long one of them was held."""

    def made(scene: Scene) -> None:
        said = hosts.python(
            scene.host("edge"), "slow.py",
            kind=kind, address=scene.ground.site.address, connections=connections, seconds=seconds,
        )  # fmt: skip
        print(said)
        scene.took["held"] = said["longest"]

    return made


def strangers(scene: Scene) -> None:
    """Who may reach the database's port says everything but what the service says."""
    said = hosts.python(scene.host("app"), "strangers.py", address=scene.host("db").address)
    print(said)
    scene.took["let through"] = said["entered"]
