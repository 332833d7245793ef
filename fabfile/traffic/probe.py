"""Watching the public path while traffic moves: twenty requests a second, as a customer sends them, none repeated.

They ask by the public name for a path to which every check of the service applies: one that is exempt from some
(/health/live) answers well where each customer is refused. While a host is in maintenance that path is asked instead.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field

from fabfile.hosts.environment import Public

RATE = 20.0
TIMEOUT = 5.0
# Whom to leave out who counts customers.
AGENT = "slipway-probe"
IN_MAINTENANCE = "/health/live"
# Also lost: 400 and 421 say that the service does not know its own public name.
REFUSALS = (400, 421)
TOO_MANY = 429


@dataclass
class Watched:
    """requests sent, those lost (no answer, 5xx, or a name that is not served), the longest time between two good
    answers in milliseconds, how many answers each release gave, and the faults seen first."""

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
        # When the certificate ends, in seconds since 1970, as soon as it was seen.
        self.ends: float | None = None
        super().__init__(public.name, public.port, timeout=TIMEOUT, context=self.context)

    def connect(self) -> None:
        plain = socket.create_connection((self.public.address, self.public.port), TIMEOUT)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = secured = self.context.wrap_socket(plain, server_hostname=self.public.name)
        self.ends = ssl.cert_time_to_seconds(str((secured.getpeercert() or {})["notAfter"]))


class Probe:
    """Use as a context: it asks from the beginning to the end of the block, and `seen` holds what it saw."""

    def __init__(self, public: Public) -> None:
        self.public = public
        self.seen = Watched()
        # The last answer: which release gave it, when (monotonic), and what was wrong with it.
        self.latest, self.answered, self.fault = "", 0.0, ""
        # Whether any answer was the service's own, and any was good.
        self.reached, self.good = False, False
        # When the edge's certificate ends, in seconds since 1970.
        self.ends: float | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="probe", daemon=True)

    @property
    def watches(self) -> bool:
        """Whether there is a public path to watch: an environment may have none that this machine reaches."""
        return bool(self.public.path)

    def __enter__(self) -> Probe:
        if self.watches:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self.watches:
            self._thread.join(TIMEOUT + 1)

    def _watch(self) -> None:
        try:
            connection = _Edge(self.public)
        except OSError as failure:
            self.fault = _no_authority(self.public, failure)
            self.seen.requests, self.seen.lost, self.seen.faults = 1, 1, [self.fault]
            return
        good: float | None = None
        due = time.monotonic()
        while not self._ended.is_set():
            self.seen.requests += 1
            self.fault = self._ask(connection, self.public.path)
            self.answered = now = time.monotonic()
            self.ends = connection.ends
            if self.fault:
                self.seen.lost += 1
                self.seen.faults.append(self.fault)
                connection.close()
            else:
                if good is not None:
                    self.seen.max_gap_ms = max(self.seen.max_gap_ms, round((now - good) * 1000))
                good, self.good = now, True
            due = max(due + 1 / RATE, now)
            self._ended.wait(due - now)
        connection.close()

    def _ask(self, connection: _Edge, path: str) -> str:
        """Send one request; the fault in words, or nothing."""
        try:
            answer = ask(connection, path)
        except (OSError, http.client.HTTPException) as failure:
            self.latest = ""
            return f"{type(failure).__name__}: {failure}"
        if answer.in_maintenance and path != IN_MAINTENANCE:
            return self._ask(connection, IN_MAINTENANCE)
        self.reached = self.reached or bool(answer.release)
        if answer.status == TOO_MANY:
            return ""
        self.latest = answer.release or "none"
        if answer.fault:
            return answer.fault
        self.seen.releases[self.latest] = self.seen.releases.get(self.latest, 0) + 1
        return ""


@dataclass(frozen=True)
class Answer:
    """One answer of the public path."""

    status: int
    release: str
    body: str

    @property
    def in_maintenance(self) -> bool:
        return self.status == 503 and '"code":"maintenance"' in self.body.replace(" ", "")

    @property
    def fault(self) -> str:
        """What is wrong with it, in words; empty when a customer gets what was asked for."""
        if self.status < 500 and self.status not in REFUSALS:
            return ""
        return f"HTTP {self.status}: {self.body[:200]}"


def ask(connection: _Edge, path: str) -> Answer:
    """Raises OSError or http.client.HTTPException."""
    connection.request("GET", path, headers={"User-Agent": AGENT})
    answer = connection.getresponse()
    body = answer.read().decode("utf-8", "replace")
    return Answer(answer.status, answer.getheader("X-Release") or "", body)


def certificate_ends(public: Public) -> float:
    """When the edge's certificate ends, in seconds since 1970. Raises OSError where none is seen or trusted."""
    connection = _Edge(public)
    try:
        connection.connect()
        assert connection.ends is not None
        return connection.ends
    finally:
        connection.close()


def ask_once(public: Public) -> Answer | str:
    """What a customer is answered now, or why there is no answer."""
    try:
        connection = _Edge(public)
    except OSError as failure:
        return _no_authority(public, failure)
    try:
        return ask(connection, public.path)
    except (OSError, http.client.HTTPException) as failure:
        return f"{type(failure).__name__}: {failure}"
    finally:
        connection.close()


def _no_authority(public: Public, failure: OSError) -> str:
    return (
        f"{public.ca}, the authority of the edge's certificate, cannot be read: {failure.strerror or failure}"
    )
