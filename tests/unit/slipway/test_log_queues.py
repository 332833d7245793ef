"""What waits for the logs host, by what rsyslogd says of its queues."""

from __future__ import annotations

import json
import time

import pytest
from slipway.upkeep import log_queues

from tests.unit.conftest import Slipway
from tests.unit.slipway.support import Host


def say(host: Host, seconds_ago: float, name: str, size: int, enqueued: int, full: int = 0) -> None:
    """One line as rsyslogd writes it."""
    said = {"name": name, "origin": "core.queue", "size": size, "enqueued": enqueued, "full": 0}
    said |= {"discarded.full": full, "discarded.nf": 0, "maxqsize": size}
    file = host.path(log_queues.COUNTERS)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as log:
        log.write(f"{time.time() - seconds_ago:.0f} {json.dumps(said)}\n")


def test_a_host_that_sends_nothing_has_no_queue(host: Host) -> None:
    assert log_queues.queues(host) == []
    assert log_queues.faults(host) == []


def test_the_oldest_line_waits_since_it_came(host: Host) -> None:
    for ago, size, enqueued in ((1200, 0, 50), (900, 0, 100), (600, 20, 120), (300, 60, 160), (0, 80, 180)):
        say(host, ago, "shop_forward queue", size, enqueued)
    (queue,) = log_queues.queues(host)

    # 100 are gone, which had come 900 s ago: the next one came after.
    assert (queue.name, queue.lines, round(queue.seconds), queue.dropped) == ("shop_forward", 80, 900, 0)
    assert log_queues.faults(host) == [
        "80 log lines have waited for the logs host for 15 minutes (shop_forward)"
    ]


def test_a_queue_that_is_never_empty_and_goes_on_is_no_fault(host: Host) -> None:
    for ago in range(1800, -1, -30):
        say(host, ago, "shop_forward queue", 20, (1800 - ago) * 10 + 20)
    (queue,) = log_queues.queues(host)

    assert queue.seconds <= 60
    assert log_queues.faults(host) == []


def test_what_waited_before_rsyslogd_started_waits_since_then_at_least(host: Host) -> None:
    say(host, 900, "host_forward queue", 0, 5000)
    for ago in (800, 400, 0):
        say(host, ago, "host_forward queue", 700, 0)
    (queue,) = log_queues.queues(host)

    assert round(queue.seconds) == 800


def test_a_queue_in_memory_and_its_disk_are_one(host: Host) -> None:
    say(host, 0, "nginx_forward queue", 2000, 9000)
    say(host, 0, "nginx_forward queue[DA]", 500, 600, full=7)
    host.path(f"{log_queues.SPOOL}/nginx_forward.00000001").write_bytes(b"x" * 1000)
    (queue,) = log_queues.queues(host)

    assert (queue.lines, queue.dropped, queue.size) == (2500, 7, 1000)
    assert log_queues.faults(host) == ["7 log lines did not fit and are on this host alone (nginx_forward)"]


def test_what_waits_for_a_sink_of_json_is_said_to(host: Host) -> None:
    say(host, 1000, "shop_json queue", 0, 0)
    say(host, 0, "shop_json queue", 40, 40, full=2)

    assert log_queues.faults(host) == [
        "40 log lines have waited for the sink of JSON lines for 17 minutes and 2 log lines did not fit and never come "
        "to the sink of JSON lines (shop_json)"
    ]


def test_counters_that_grow_old_are_a_fault(host: Host) -> None:
    say(host, 1200, "shop_forward queue", 0, 10)

    assert log_queues.faults(host) == ["rsyslogd has not said for 20 minutes what waits in shop_forward"]


@pytest.mark.parametrize(
    "torn", ["", "12", "x {}", '17000 {"name"', "17000 []", '17000 {"name": "shop_forward queue"}']
)
def test_a_line_that_is_not_whole_is_none(host: Host, torn: str) -> None:
    say(host, 30, "shop_forward queue", 3, 10)
    with host.path(log_queues.COUNTERS).open("a") as log:
        log.write(torn)

    assert [queue.lines for queue in log_queues.queues(host)] == [3]


def test_metrics_and_status_tell_of_it(host: Host, slipway: Slipway) -> None:
    (host.runtime / "updates.json").write_text('{"at": [0, 0], "waiting": 2}')
    say(host, 1000, "shop_forward queue", 0, 0)
    say(host, 0, "shop_forward queue", 40, 40, full=2)

    told = slipway("metrics").result["metrics"]
    assert 'slipway_log_queue_lines{app="shop",queue="shop_forward"} 40\n' in told
    assert 'slipway_log_queue_dropped{app="shop",queue="shop_forward"} 2\n' in told
    assert slipway("status").result["log_queues"] == [
        "40 log lines have waited for the logs host for 17 minutes and 2 log lines did not fit and are on this host "
        "alone (shop_forward)"
    ]
