"""What the service counts: `metrics()` is this process's instruments, all under their Prometheus names.

With `PROMETHEUS_MULTIPROC_DIR` and a metrics address the values live in files of that directory, where one
worker adds up those of all (shop/core/exposition.py). Without an address they stay in memory.
"""

import functools
import os
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

# prometheus_client chooses files or memory while it is imported: without a reader there shall be no files.
if not os.environ.get("SHOP_METRICS_ADDRESS"):
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import mark_process_dead

from shop.core.needs import shared_directory

DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNMATCHED = "unmatched"
# Any client can invent a method, and each label value is a series for ever.
OTHER_METHOD = "other"
CHANGE = re.compile(r"\b(INSERT|(?<!FOR )(?<!KEY )(?<!DO )UPDATE|DELETE|MERGE)\b", re.IGNORECASE)
OPERATION = re.compile(r"\b([A-Z]+)\b", re.IGNORECASE)
TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE|JOIN)\s+(?:ONLY\s+)?(?:shop\.)?([a-z_][a-z0-9_]*)", re.IGNORECASE)


class _Tallied(Histogram):
    """A histogram that takes many observations at once."""

    def add(self, counts: Sequence[int], total: float) -> None:
        """`counts`: how many fell into each bucket, the last of which has no bound; `total`: their sum."""
        self._sum.inc(total)
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)


@dataclass
class _Tally:
    """Requests of one method, endpoint and status that are not published yet."""

    counter: Counter
    histogram: _Tallied
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(DURATION_BUCKETS) + 1))

    def publish(self) -> None:
        """Add them to what everybody sees."""
        if count := sum(self.buckets):
            self.counter.inc(count)
            self.histogram.add(self.buckets, self.seconds)
            self.seconds, self.buckets = 0.0, [0] * len(self.buckets)


class Metrics:
    """Every instrument; each value is one process's own until somebody adds them up."""

    def __init__(self) -> None:
        if directory := shared_directory():
            # A worker that died may have had this one's number.
            mark_process_dead(os.getpid(), directory)  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        self.http_requests_total = Counter(
            "http_requests_total",
            "Requests answered, by method, route template and status.",
            ["method", "endpoint", "status"],
            registry=registry,
        )
        self.http_request_duration_seconds = _Tallied(
            "http_request_duration_seconds",
            "Seconds from the first byte of a request's head to the last of its answer.",
            ["method", "endpoint"],
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        # Published twice a second, as requests are: writes to shared files are a third of what one costs.
        self.active = 0
        self.http_requests_active = self._gauge("http_requests_active", "Requests being answered now.")
        self.database_queries_total = Counter(
            "database_queries_total",
            "Statements sent to the database, by operation and first table.",
            ["operation", "table"],
            registry=registry,
        )
        self.cache_hits_total = self._cache_counter("cache_hits_total", "Answers found in the cache.")
        self.cache_misses_total = self._cache_counter("cache_misses_total", "Answers the cache did not have.")
        self.cache_errors_total = self._cache_counter("cache_errors_total", "Questions the cache failed at.")
        self.pool = {
            name: self._gauge(f"database_pool_{name}", f"Connections of the pools: {meaning}.")
            for name, meaning in (
                ("checked_out", "in use"),
                ("checked_in", "open and free"),
                ("overflow", "open beyond the size"),
                ("size", "kept open at most"),
                ("waiters", "requests that wait for one"),
            )
        }
        self.event_loop_lag_seconds = Histogram(
            "event_loop_lag_seconds",
            "Seconds by which the event loop was late to wake a task.",
            buckets=LAG_BUCKETS,
            registry=registry,
        )
        self._requests: dict[tuple[str, str, int], _Tally] = {}

    def _gauge(self, name: str, documentation: str) -> Gauge:
        return Gauge(name, documentation, multiprocess_mode="livesum", registry=self.registry)

    def _cache_counter(self, name: str, documentation: str) -> Counter:
        return Counter(name, documentation, ["type"], registry=self.registry)

    def count_request(self, method: str, endpoint: str, status: int, seconds: float) -> None:
        """Count one request for `publish`; `endpoint` is the route's template or UNMATCHED, never a path."""
        key = (method if method in METHODS else OTHER_METHOD, endpoint, status)
        tally = self._requests.get(key)
        if tally is None:
            tally = self._requests[key] = _Tally(
                self.http_requests_total.labels(key[0], endpoint, str(status)),
                self.http_request_duration_seconds.labels(key[0], endpoint),
            )
        tally.seconds += seconds
        tally.buckets[bisect_left(DURATION_BUCKETS, seconds)] += 1

    def publish(self) -> None:
        """Let everybody see what was counted; a worker that is killed takes with it what came since."""
        self.http_requests_active.set(self.active)
        for tally in list(self._requests.values()):
            tally.publish()

    @functools.lru_cache(maxsize=1024)  # noqa: B019 - there is one instance a process
    def queries(self, statement: str) -> Counter:
        """The counter of a statement's operation and first table; "none" for a statement without a table."""
        # A WITH that changes something is a change; else the first word says what it is.
        operation = CHANGE.search(statement) or OPERATION.search(statement)
        table = TABLE.search(statement, operation.start()) if operation else None
        word = operation[1].upper() if operation else "OTHER"
        return self.database_queries_total.labels(
            "SELECT" if word == "WITH" else word, table[1].lower() if table else "none"
        )


@functools.cache
def metrics() -> Metrics:
    """This process's instruments, made at first use: an import writes no file."""
    return Metrics()
