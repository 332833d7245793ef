"""Watching the public path while traffic moves: twenty requests a second, as a client sends them, none repeated."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field

from fabfile.environment import Public

RATE = 20.0
TIMEOUT = 5.0
PATH = "/health/live"


@dataclass
class Watched:
    """requests sent, those lost (no answer, or 5xx), the longest time between two good answers in milliseconds,
    how many answers each release gave, and the faults seen first."""

    requests: int = 0
    lost: int = 0
    max_gap_ms: int = 0
    releases: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def as_record(self) -> dict[str, object]:
        return {
            "requests": self.requests,
            "lost": self.lost,
            "max_gap_ms": self.max_gap_ms,
            "releases": self.releases,
            "faults": self.faults[:3],
        }


class _Edge(http.client.HTTPSConnection):
    """Asks the edge's address for the public name: no resolver has a say."""

    def __init__(self, public: Public) -> None:
        self.public = public
        self.context = ssl.create_default_context(cafile=str(public.ca) if public.ca else None)
        super().__init__(public.name, public.port, timeout=TIMEOUT, context=self.context)

    def connect(self) -> None:
        plain = socket.create_connection((self.public.address, self.public.port), TIMEOUT)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self.context.wrap_socket(plain, server_hostname=self.public.name)


class Probe:
    """Use as a context: it asks from the beginning to the end of the block, and `seen` holds what it saw."""

    def __init__(self, public: Public) -> None:
        self.public = public
        self.seen = Watched()
        self.latest = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="probe", daemon=True)

    def __enter__(self) -> Probe:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(TIMEOUT + 1)

    def _watch(self) -> None:
        connection = _Edge(self.public)
        good: float | None = None
        due = time.monotonic()
        while not self._ended.is_set():
            fault = self._ask(connection)
            now = time.monotonic()
            if fault:
                self.seen.lost += 1
                self.seen.faults.append(fault)
                connection.close()
            else:
                if good is not None:
                    self.seen.max_gap_ms = max(self.seen.max_gap_ms, round((now - good) * 1000))
                good = now
            due = max(due + 1 / RATE, now)
            self._ended.wait(due - now)
        connection.close()

    def _ask(self, connection: _Edge) -> str:
        """Send one request; the fault in words, or nothing."""
        self.seen.requests += 1
        try:
            connection.request("GET", PATH, headers={"User-Agent": "slipway-probe"})
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as failure:
            return f"{type(failure).__name__}: {failure}"
        if answer.status >= 500:
            return f"HTTP {answer.status}: {body[:200].decode('utf-8', 'replace')}"
        self.latest = answer.getheader("X-Release") or "none"
        self.seen.releases[self.latest] = self.seen.releases.get(self.latest, 0) + 1
        return ""


def ask_once(public: Public) -> tuple[int, str, str]:
    """Status, release and body of one answer of the public path. Raises OSError or http.client.HTTPException."""
    connection = _Edge(public)
    try:
        connection.request("GET", PATH, headers={"User-Agent": "slipway-probe"})
        answer = connection.getresponse()
        return answer.status, answer.getheader("X-Release") or "", answer.read().decode("utf-8", "replace")
    finally:
        connection.close()
