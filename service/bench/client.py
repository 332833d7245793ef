"""The load: connections kept alive on a Unix socket, each with one request in flight; a process of its own.

It reads one JSON job a line from stdin and writes one JSON outcome a line to stdout.
"""

import asyncio
import itertools
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any, cast

import httptools
import orjson
import uvloop

# Seconds after the end of a job in which answers in flight must come.
PATIENCE = 20.0


class Connection(asyncio.Protocol):
    """Sends the next request as soon as the answer to the last one is complete."""

    def __init__(self, requests: Iterator[bytes], run: "Run") -> None:
        self.requests = requests
        self.run = run
        self.sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.parser = httptools.HttpResponseParser(self)
        self._send()

    def _send(self) -> None:
        request = next(self.requests, None) if time.perf_counter() < self.run.deadline else None
        if request is None:
            self.transport.close()
            return
        self.sent = time.perf_counter()
        self.transport.write(with_key(request))

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.run.seconds.append(time.perf_counter() - self.sent)
        status = self.parser.get_status_code()
        self.run.statuses[status] = self.run.statuses.get(status, 0) + 1
        self.parser = httptools.HttpResponseParser(self)
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        self.run.close(error)


class Run:
    """One job: `clients` connections until `seconds` are over, or until `count` requests are answered."""

    def __init__(self, seconds: float, clients: int) -> None:
        self.deadline = time.perf_counter() + seconds
        self.seconds: list[float] = []
        self.statuses: dict[int, int] = {}
        self.cut = 0
        self.open = clients
        self.done = asyncio.get_running_loop().create_future()

    def close(self, error: Exception | None) -> None:
        """Count one connection as closed; the last one ends the run."""
        self.cut += error is not None
        self.open -= 1
        if self.open == 0 and not self.done.done():
            self.done.set_result(None)


def request_bytes(
    path: str, method: str = "GET", headers: dict[str, str] | None = None, body: str | None = None
) -> bytes:
    """One HTTP/1.1 request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: shop.test"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    content = (body or "").encode()
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


def with_key(request: bytes) -> bytes:
    """The request with a key nobody has used before, if it has a place for one."""
    return request.replace(b"{key}", uuid.uuid4().hex.encode()) if b"{key}" in request else request


async def load(job: dict[str, Any]) -> dict[str, Any]:
    """What happened: answers by status, wall seconds, latency quantiles in seconds."""
    prepared = [request_bytes(**one) for one in job["requests"]]
    requests: Iterator[bytes] = itertools.cycle(prepared)
    if "count" in job:
        requests = itertools.islice(requests, job["count"])
    clients = job["clients"]
    run = Run(job["seconds"], clients)
    began = time.perf_counter()
    loop = asyncio.get_running_loop()
    for _ in range(clients):
        await loop.create_unix_connection(lambda: Connection(requests, run), job["socket"])
    await asyncio.wait_for(run.done, job["seconds"] + PATIENCE)
    wall = time.perf_counter() - began
    ordered = sorted(run.seconds) or [0.0]
    return {
        "statuses": run.statuses,
        "cut": run.cut,
        "wall": wall,
        "answers": len(run.seconds),
        "p50": ordered[len(ordered) // 2],
        "p99": ordered[int(len(ordered) * 0.99)],
    }


async def abandon(job: dict[str, Any]) -> dict[str, Any]:
    """Send each request on a connection of its own and cut it before the answer can come, or just after."""
    for number, one in enumerate(job["requests"]):
        _, writer = await asyncio.open_unix_connection(job["socket"])
        writer.write(with_key(request_bytes(**one)))
        await writer.drain()
        await asyncio.sleep(number % 10 / 4000)
        writer.transport.abort()
    return {"abandoned": len(job["requests"])}


def main() -> None:
    """Serve jobs until stdin ends."""
    uvloop.install()
    for line in sys.stdin.buffer:
        job = orjson.loads(line)
        outcome = asyncio.run(abandon(job) if job.get("abandon") else load(job))
        sys.stdout.buffer.write(orjson.dumps(outcome, option=orjson.OPT_NON_STR_KEYS) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
