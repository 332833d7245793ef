"""Numbered lines while the collector is away, hangs or flaps, and rsyslogd is killed: none of the kept is lost."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.templates import checkers
from tests.templates.conftest import Trees
from tests.templates.log_ground import STEP_BACK, WINDOW, Ground, ground, wait_for
from tests.templates.rendering import SUITES
from tests.unit.slipway import support

from slipway.host import Host  # isort: skip
from slipway.upkeep.log_queues import Queue, queues  # isort: skip

assert support

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives rsyslogd a network of its own")

KEPT = ("shop", "auth")
# Queues, with what is said of them.
LIMITED = {"shop_forward": "shop", "nginx_forward": "nginx-access"}
# How many lines may come twice when a sender was killed: those on their way, and those read and not noted.
TWICE = WINDOW + 100


@pytest.fixture(params=sorted(SUITES))
def logs(trees: Trees, request: pytest.FixtureRequest) -> Iterator[Ground]:
    """A sender and a collector, started, with a line of each kind that has come."""
    suite = SUITES[request.param]
    if reason := checkers.unavailable(suite):
        pytest.skip(reason)
    sender, collector = (trees[f"fleet-{request.param}", name] for name in ("app-1", "logs-1"))
    with (
        tempfile.TemporaryDirectory(prefix="sw") as folder,
        ground(Path(folder), suite, sender, collector) as made,
    ):
        made.start("collector", "sender")
        for kind in (*KEPT, "nginx-access"):
            made.say(kind, 1)
        made.all_came(*KEPT, "nginx-access")
        yield made


def assert_few_twice(logs: Ground, deaths: int) -> None:
    for kind in KEPT:
        assert sum(times - 1 for times in logs.came(kind).values()) <= deaths * TWICE


def test_a_host_that_dies_while_the_collector_is_away_loses_no_kept_line(logs: Ground) -> None:
    for kind in KEPT:
        logs.say(kind, 200)
    logs.end("collector", signal.SIGKILL)
    for kind in KEPT:
        logs.say(kind, 200)
    wait_for(lambda: logs.read("shop") == logs.said["shop"], 30, logs.output)
    logs.end("sender", signal.SIGKILL)
    for kind in KEPT:
        logs.say(kind, 200)
    logs.start("sender")
    logs.start("collector")

    logs.all_came(*KEPT)
    assert_few_twice(logs, 1)


def test_a_collector_that_dies_under_lines_has_all_that_it_said_it_had(logs: Ground) -> None:
    for _ in range(3):
        logs.say("shop", 300)
        logs.end("collector", signal.SIGKILL)
        logs.start("collector")

    logs.all_came("shop")


def test_lines_wait_while_the_senders_certificate_has_ended(logs: Ground) -> None:
    logs.end("sender")
    logs.certify("sender", "app-1", days=0)
    logs.start("sender")
    logs.say("shop", 100)
    wait_for(lambda: logs.read("shop") == logs.said["shop"], 30, logs.output)
    assert len(logs.missing("shop")) == 100

    # A renewed one is taken at the next try.
    logs.certify("sender", "app-1")
    logs.all_came("shop")


@pytest.mark.parametrize(
    "refused",
    [
        {"days": 0},
        pytest.param({"host": "logs-2"}, marks=pytest.mark.long),
        pytest.param({"authority": "another"}, marks=pytest.mark.long),
    ],
    ids=str,
)
def test_lines_wait_while_the_collectors_certificate_is_refused_and_come_when_it_is_right(
    logs: Ground, refused: dict[str, Any]
) -> None:
    logs.end("collector", signal.SIGKILL)
    logs.certify("collector", **{"host": "logs-1", **refused})
    logs.start("collector")
    for kind in (*KEPT, "nginx-access"):
        logs.say(kind, 100)
    wait_for(lambda: re.search("The certificate of logs-1 .* is refused", logs.output()), 40, logs.output)
    for kind in (*KEPT, "nginx-access"):
        logs.say(kind, 100, seconds=3)
    wait_for(lambda: logs.read("shop") == logs.said["shop"], 30, logs.output)
    assert len(logs.missing("shop")) == 200

    logs.end("collector")
    logs.certify("collector", "logs-1")
    logs.start("collector")
    logs.all_came(*KEPT, "nginx-access")


@pytest.mark.long
def test_a_tunnel_that_is_killed_under_lines_loses_no_kept_one(logs: Ground) -> None:
    for _ in range(3):
        logs.say("shop", 300)
        logs.end("tunnel", signal.SIGKILL)
        logs.start_tunnel()

    logs.all_came("shop")


def test_the_tunnel_carries_for_rsyslogd_alone(logs: Ground) -> None:
    ask = "import socket; each = socket.create_connection(('127.0.0.1', 2514), 5); assert each.recv(9) == b''"
    done = logs.run_inside("setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-IS", "-c", ask)

    assert done.returncode == 0, done.stderr
    assert "A program that is not rsyslogd was refused." in logs.output()


@pytest.mark.long
def test_each_line_is_on_the_disk_for_good_where_that_is_asked_for(logs: Ground, trees: Trees) -> None:
    """At the speed of this machine's disk."""
    logs.end("sender")
    off, on = (f'queue.syncQueueFiles="{word}"' for word in ("off", "on"))
    logs.configure("sender", logs.trees["sender"], **{off: on})
    logs.end("collector", signal.SIGKILL)
    logs.start("sender")
    logs.say("shop", 300)
    wait_for(lambda: logs.read("shop") == logs.said["shop"], 60, logs.output)
    logs.end("sender", signal.SIGKILL)
    logs.start("collector", "sender")

    logs.all_came("shop")


@pytest.mark.long
def test_a_collector_that_comes_and_goes_loses_no_line_and_holds_nobody_up(logs: Ground) -> None:
    slowest = 0.0
    for turn in range(12):
        (logs.end("collector", signal.SIGKILL) if turn % 2 == 0 else logs.start("collector"))
        began = time.monotonic()
        for kind in KEPT:
            logs.say(kind, 150, seconds=1.5)
        slowest = max(slowest, time.monotonic() - began)

    logs.all_came(*KEPT, seconds=90)
    # Those who say it write to a file, as a service does to the journal.
    assert slowest < 5


@pytest.mark.long
def test_a_collector_that_takes_connections_and_reads_nothing_loses_no_line(logs: Ground) -> None:
    logs.freeze("collector")
    for kind in KEPT:
        logs.say(kind, 500, seconds=5)
    wait_for(lambda: logs.read("shop") == logs.said["shop"], 30, logs.output)
    # Both die, with what one has sent and the other never read.
    logs.end("sender", signal.SIGKILL)
    logs.end("collector", signal.SIGKILL)
    logs.start("collector", "sender")

    logs.all_came(*KEPT)
    assert_few_twice(logs, 1)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_an_rsyslogd_that_is_killed_again_and_again_loses_no_kept_line(logs: Ground) -> None:
    """Under lines, at moments that nobody chose, with the collector and without it."""
    deaths = 12
    for turn in range(deaths):
        if turn % 4 == 1:
            logs.end("collector", signal.SIGKILL)
        for kind in KEPT:
            logs.say(kind, 200)
        time.sleep(0.05 + 0.17 * (turn % 5))
        logs.end("sender", signal.SIGKILL)
        logs.start("sender")
        if turn % 4 == 3:
            logs.start("collector")

    logs.all_came(*KEPT, seconds=90)
    assert_few_twice(logs, deaths)


def test_a_full_queue_gives_up_lines_holds_nobody_up_and_counts_them(logs: Ground) -> None:
    logs.end("sender")
    small = {'maxDiskSpace="1g"': 'maxDiskSpace="100k"', 'interval="30"': 'interval="1"'}
    logs.configure("sender", logs.trees["sender"], **small)
    logs.end("collector", signal.SIGKILL)
    logs.start("sender")
    began = time.monotonic()
    logs.say("shop", 1500)
    logs.say("nginx-access", 20_000)
    wait_for(lambda: logs.read("shop") == logs.said["shop"], 30, logs.output)
    assert time.monotonic() - began < 30

    def counted() -> dict[str, Queue]:
        return {queue.name: queue for queue in queues(Host("shop", logs.folder / "sender"))}

    wait_for(lambda: all(counted()[name].dropped for name in LIMITED), 30, lambda: str(counted()))
    logs.start("collector")
    wait_for(lambda: not any(counted()[name].lines for name in LIMITED), 60, lambda: str(counted()))
    time.sleep(2)
    found = counted()

    # A line that was read twice, or handed to the disk twice, may be given up twice.
    for name, kind in LIMITED.items():
        assert 0 <= found[name].dropped - len(logs.missing(kind)) <= 1, (name, found[name])


def test_a_queue_is_set_back_once_for_what_was_sent_once(logs: Ground) -> None:
    logs.freeze("collector")
    logs.say("shop", 200)
    wait_for(lambda: logs.read("shop") == logs.said["shop"], 30, logs.output)
    time.sleep(1)
    logs.end("sender", signal.SIGKILL)
    spool = logs.folder / "sender/var/spool/rsyslog"

    def stepped() -> int:
        done = subprocess.run(
            [sys.executable, "-IS", STEP_BACK, spool], capture_output=True, text=True, check=True
        )
        return int(re.findall(r"shop_forward: (\d+) lines", done.stdout)[0])

    assert 0 < stepped() <= WINDOW
    assert stepped() == 0


@pytest.mark.parametrize("index", [b"", b"no queue", b"<OPB:1:qqueue:1:\n+iQueueSize:2:1:0:\n"])
def test_what_is_no_queue_is_left_as_it_is(tmp_path: Path, index: bytes) -> None:
    (tmp_path / "shop_forward.qi").write_bytes(index)
    (tmp_path / "shop_forward.stepped").write_text(json.dumps([1, 0]))
    done = subprocess.run(
        [sys.executable, "-IS", STEP_BACK, tmp_path], capture_output=True, text=True, check=True
    )

    assert "shop_forward" in done.stdout
    assert "left as it is" in done.stdout
    assert (tmp_path / "shop_forward.qi").read_bytes() == index
