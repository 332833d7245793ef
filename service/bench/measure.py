"""Slices, ratios and their uncertainty."""

import random
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any, cast

import orjson

from bench.servers import SERVICE, Database, Server, cpu_seconds

# As many as every pool keeps open, the smallest of which is the template's with five: nobody connects anew.
CLIENTS = 5
RESAMPLES = 2000
WARM_UP = 0.5

Request = dict[str, Any]


@dataclass(frozen=True)
class Slice:
    """One server in one slice: CPU µs a request of its own and of PostgreSQL, and what clients saw."""

    server_us: float
    database_us: float
    rate: float
    p50_ms: float
    p99_ms: float


class Load:
    """The load client, a process of its own for the whole run."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.client"],
            cwd=SERVICE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._jobs = cast(IO[bytes], self._process.stdin)
        self._outcomes = cast(IO[bytes], self._process.stdout)

    def run(self, server: Server, requests: Sequence[Request], **job: Any) -> dict[str, Any]:
        """What the client saw of these requests to `server`; `job` is seconds, clients, count, abandon."""
        job = {"seconds": 60, "clients": CLIENTS, **job, "socket": server.socket, "requests": list(requests)}
        self._jobs.write(orjson.dumps(job) + b"\n")
        self._jobs.flush()
        line = self._outcomes.readline()
        if not line:
            raise RuntimeError("The load client ended; what it said is above.")
        outcome: dict[str, Any] = orjson.loads(line)
        return outcome

    def close(self) -> None:
        """End the client."""
        self._jobs.close()
        self._process.wait(10)


def measure(
    load: Load,
    database: Database,
    server: Server,
    requests: Sequence[Request],
    seconds: float,
    clients: int = CLIENTS,
) -> Slice | None:
    """One slice of load on one server; None when an answer was not 2xx or a connection was cut."""
    before = cpu_seconds(server.pid)
    database_before = database.cpu_seconds()
    seen = load.run(server, requests, seconds=seconds, clients=clients)
    used = cpu_seconds(server.pid) - before
    database_used = database.cpu_seconds() - database_before
    if seen["cut"] or any(not status.startswith("2") for status in seen["statuses"]) or not seen["answers"]:
        return None
    answers = seen["answers"]
    return Slice(
        server_us=used / answers * 1e6,
        database_us=database_used / answers * 1e6,
        rate=answers / seen["wall"],
        p50_ms=seen["p50"] * 1000,
        p99_ms=seen["p99"] * 1000,
    )


@dataclass(frozen=True)
class Score:
    """The median over pairs of slices, with the bounds of its bootstrap 95 % interval."""

    median: float
    low: float
    high: float


def _median(values: list[float]) -> Score:
    # A fixed seed: the same measurements give the same interval.
    chance = random.Random(14)  # noqa: S311 - draws samples, guards nothing
    medians = sorted(statistics.median(chance.choices(values, k=len(values))) for _ in range(RESAMPLES))
    low, high = medians[int(RESAMPLES * 0.025)], medians[int(RESAMPLES * 0.975)]
    return Score(statistics.median(values), low, high)


def score(numerators: Sequence[float], denominators: Sequence[float]) -> Score:
    """The ratio of values measured in pairs, one right after the other."""
    return _median([above / below for above, below in zip(numerators, denominators, strict=True)])


def difference(with_it: Sequence[float], without: Sequence[float]) -> Score:
    """What is added, of values measured in pairs."""
    return _median([more - less for more, less in zip(with_it, without, strict=True)])


def interleave(
    load: Load,
    database: Database,
    servers: Sequence[Server],
    requests: Sequence[Request],
    *,
    rounds: int,
    seconds: float,
    clients: int = CLIENTS,
) -> dict[str, list[Slice]]:
    """Slices of each server by its letter, taken in turns; a round with a spoilt slice is left out."""
    for server in servers:
        load.run(server, requests, seconds=WARM_UP, clients=clients)
    slices: dict[str, list[Slice]] = {server.letter: [] for server in servers}
    for _ in range(rounds):
        measured = [measure(load, database, server, requests, seconds, clients) for server in servers]
        if None not in measured:
            for server, one in zip(servers, measured, strict=True):
                slices[server.letter].append(cast(Slice, one))
    if not all(slices.values()):
        raise RuntimeError(f"Every round for {requests[0]['path']} had an answer that was not 2xx.")
    return slices
