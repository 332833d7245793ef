"""What waits on this host for the logs host."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.host import Host
from slipway.metrics.exposition import Sample
from slipway.upkeep import log_queues


def samples(host: Host) -> Iterator[Sample]:
    for queue in log_queues.queues(host):
        label = {"queue": queue.name}
        yield "slipway_log_queue_lines", label, queue.lines
        yield "slipway_log_queue_bytes", label, queue.size
        yield "slipway_log_queue_waiting_seconds", label, queue.seconds
        yield "slipway_log_queue_dropped", label, queue.dropped
        yield "slipway_log_queue_timestamp_seconds", label, queue.told
