"""What waits on this host to be sent to another, by the counters that rsyslogd writes each half minute."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from slipway.host import Host

SPOOL = "/var/spool/rsyslog"
COUNTERS = f"{SPOOL}/queues.log"
# An hour and more of them.
BYTES = 256 * 1024
# A line that has waited for so long, or counters that are so old, are a fault.
SECONDS = 600


@dataclass(frozen=True)
class Queue:
    """lines: that wait now. seconds: how long the oldest has, at least. dropped: given up since rsyslogd started.

    told: when rsyslogd said so, in seconds since 1970. size: bytes on the disk.
    """

    name: str
    lines: int
    seconds: float
    dropped: int
    told: float
    size: int

    def fault(self, now: float) -> str:
        """What is wrong with it in a sentence, "" when nothing is."""
        taker, only = "the logs host", "are on this host alone"
        if self.name.endswith("_json"):
            taker, only = "the sink of JSON lines", "never come to the sink of JSON lines"
        if now - self.told > SECONDS:
            return f"rsyslogd has not said for {(now - self.told) / 60:.0f} minutes what waits in {self.name}"
        said = []
        if self.seconds > SECONDS:
            said.append(f"{self.lines} log lines have waited for {taker} for {self.seconds / 60:.0f} minutes")
        if self.dropped:
            said.append(f"{self.dropped} log lines did not fit and {only}")
        return f"{' and '.join(said)} ({self.name})" if said else ""


def queues(host: Host) -> list[Queue]:
    """By name; none where nothing is sent, or rsyslogd has not said anything yet."""
    told: dict[str, dict[float, dict[str, int]]] = {}
    for moment, said in _counters(host):
        name = str(said["name"]).removesuffix("[DA]").removesuffix(" queue")
        at = told.setdefault(name, {}).setdefault(moment, {"lines": 0, "dropped": 0, "taken": 0})
        dropped = int(said["discarded.full"]) + int(said["discarded.nf"])
        at["lines"] += int(said["size"])
        at["dropped"] += dropped
        # It counts what it gave up as taken; what a queue hands to its disk was counted when it came.
        at["taken"] += (0 if str(said["name"]).endswith("[DA]") else int(said["enqueued"])) - dropped
    return [_queue(host, name, history) for name, history in sorted(told.items())]


def faults(host: Host) -> list[str]:
    now = time.time()
    return [said for queue in queues(host) if (said := queue.fault(now))]


def _queue(host: Host, name: str, history: dict[float, dict[str, int]]) -> Queue:
    moments = sorted(history)
    last = moments[-1]
    now = history[last]
    oldest = last
    # Back to when all that had come by then is gone now, or to when rsyslogd began to count.
    for moment in reversed(moments if now["lines"] else []):
        if history[moment]["taken"] > history[oldest]["taken"]:
            break
        oldest = moment
        if history[moment]["taken"] <= now["taken"] - now["lines"]:
            break
    size = sum(path.stat().st_size for path in host.path(SPOOL).glob(f"{name}.[0-9]*"))
    return Queue(name, now["lines"], last - oldest, now["dropped"], last, size)


def _counters(host: Host) -> Iterator[tuple[float, dict[str, Any]]]:
    """(when, what rsyslogd says of a queue), oldest first; a line that is not whole is none."""
    try:
        with host.path(COUNTERS).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - BYTES))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        moment, _, said = line.strip().partition(b" ")
        try:
            found = json.loads(said)
            if {"name", "size", "enqueued", "discarded.full", "discarded.nf"} <= set(found):
                yield float(moment), found
        except ValueError:
            continue
