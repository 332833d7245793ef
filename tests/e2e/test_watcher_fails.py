"""Whoever is asked lies, whoever watches is broken or away: neither customers nor a deploy notice, and it is said."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e import disks, fault_table, haste, hosts
from tests.e2e.watched import Watched, asked, customers
from tests.lab.host import Host

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(1200)]

FIRES, ENDS = 180, 240
DATA = "/var/lib/prometheus/metrics2"
LIES = {
    "gigabyte": "body size limit exceeded",
    "hang": "deadline exceeded",
    "nonsense": "is not a valid start token",
}


@pytest.fixture(scope="module")
def hasty(watched: Watched) -> Iterator[Watched]:
    """Judged in haste, from a disk that Prometheus has for itself."""
    hosts.output(watched.watch, "systemctl stop prometheus")
    disks.attach(watched.watch, DATA, 400, owner="prometheus")
    haste.hurry(watched.watch)
    yield watched
    hosts.output(watched.watch, "systemctl stop prometheus")
    disks.detach(watched.watch, DATA)
    haste.calm(watched.watch)


def memory(host: Host, unit: str) -> int:
    """Bytes that a unit's first process has in memory."""
    status = hosts.output(host, f"cat /proc/$(systemctl show --value -p MainPID {unit})/status")
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmRSS"))


# First: the others' haste would end with its kill.
def test_who_watches_is_away_and_neither_customers_nor_a_deploy_notice(watched: Watched) -> None:
    with customers(watched) as seen:
        left = time.time()
        watched.watch.kill()
        watched.fab.deploy(watched.bundle(), bake=5).ended(0, "lost=0")
        assert watched.fab.run("alerts").status == 3
        watched.fab.run("rollback", "--yes").ended(0)
        time.sleep(30)
        back = time.time()
        watched.lab.up(["watch-1"])
        ready = "http://127.0.0.1:9090/-/ready"
        hosts.until("it is back", lambda: asked(watched.watch, ready)[0] == 200, seconds=120)
        hosts.until("it asks again", lambda: watched.asked("up"), seconds=60)
        time.sleep(15)
    seen[0].lost_nothing()
    # What was lost: a gap in the graphs, as long as it was away. The journals of the hosts have the rollouts.
    missing = watched.asked(f"count_over_time(up{{job='node',host='seen-1'}}[{time.time() - left:.0f}s])")
    kept = float(missing[0]["value"][1])
    assert kept < (time.time() - back) / 5 + 2
    assert "rollback" in watched.fab.run("audit").ended(0).output


@contextmanager
def lying(watched: Watched, how: str) -> Iterator[None]:
    """Somebody answers in the place of the second host's node-exporter."""
    given = json.dumps({"how": how, "address": watched.other.address, "folder": "/etc/ssl/slipway"})
    hosts.output(watched.other, "cat >/run/liar.py", stdin=(hosts.ON_HOST / "liar.py").read_text())
    command = f"systemd-run --quiet --unit=liar python3 /run/liar.py {shlex.quote(given)}"
    hosts.output(watched.other, f"systemctl stop prometheus-node-exporter && {command}")
    try:
        yield
    finally:
        hosts.output(watched.other, "systemctl stop liar; systemctl start prometheus-node-exporter")


@pytest.mark.parametrize("how", LIES)
def test_who_lies_is_said_to_be_down_and_nobody_else_notices(hasty: Watched, how: str) -> None:
    with customers(hasty) as seen:
        began = time.monotonic()
        with lying(hasty, how):
            came = hasty.receiver.await_(
                "HostDown", "firing", began, FIRES, r"^seen-2 does not say how it is\.$"
            )
            hasty.fab.deploy(hasty.bundle()).ended(0, "lost=0")
            found = hasty.targets()
            used = memory(hasty.watch, "prometheus")
        hasty.receiver.await_("HostDown", "resolved", came.at, ENDS)
    seen[0].lost_nothing()
    assert LIES[how] in found["node seen-2"], found
    assert {name for name, health in found.items() if health != "up"} == {"node seen-2"}
    assert used < 400 << 20


# A lab's hosts have the machine's clock: what a host with another one says is said, not made.
def test_a_clock_that_is_wrong_is_told_and_nobody_else_notices(hasty: Watched) -> None:
    told = r"^The clock of seen-2 and the one of who watches it differ by (9m 5\d|10m \d)s\.$"
    here = (
        "--web.listen-address=127.0.0.1:9101 --collector.textfile.directory=/var/lib/prometheus/node-exporter"
    )
    hosts.output(hasty.other, f"systemd-run --quiet --unit=exporter prometheus-node-exporter {here}")
    with customers(hasty) as seen:
        began = time.monotonic()
        with lying(hasty, "clock"):
            came = hasty.receiver.await_("ClockWrong", "firing", began, FIRES, told)
            hasty.receiver.await_(
                "MetricsOld", "firing", began, FIRES, r"^shop on seen-2: slipway has told nothing for 1\dm "
            )
            hasty.fab.deploy(hasty.bundle()).ended(0, "lost=0")
        healed = time.monotonic()
        gone = hasty.receiver.await_("ClockWrong", "resolved", came.at, ENDS)
    hosts.output(hasty.other, "systemctl stop exporter")
    seen[0].lost_nothing()
    fault = (
        "a host says what it would with a clock ten minutes behind (said, not made: a lab's hosts share one)"
    )
    fault_table.keep("ClockWrong", fault, came.at - began, gone.at - healed, came.said["sentence"])


def test_a_full_disk_under_prometheus_ends_the_heartbeat_and_is_told(hasty: Watched) -> None:
    receiver = hasty.receiver
    with customers(hasty) as seen:
        # One that starts on a full disk ends at once, again and again: the heartbeat alone is missed.
        hosts.until("it has judged", lambda: hasty.asked("ALERTS"), seconds=60)
        began = time.monotonic()
        disks.fill(hasty.watch, DATA, 90)
        assert "No space left" in hosts.refused(hasty.watch, f"dd if=/dev/zero of={DATA}/rest bs=4k")
        came = receiver.await_("NothingSeen", "firing", began, FIRES)
        hasty.fab.deploy(hasty.bundle()).ended(0, "lost=0")
        beats = [each.at for each in receiver.messages if each.name == "Watchdog"]
        silent = time.monotonic() - max(beats)
        healed = time.monotonic()
        hosts.output(hasty.watch, f"rm {DATA}/filling {DATA}/rest && systemctl restart prometheus")
        gone = receiver.await_("NothingSeen", "resolved", healed, ENDS)
        beat = receiver.await_("Watchdog", "firing", healed, ENDS)
    seen[0].lost_nothing()
    said = "the disk under Prometheus is full"
    fault_table.keep("NothingSeen", said, came.at - began, gone.at - healed, came.said["sentence"])
    stays = f"(stays away, for {silent:.0f} s by then) {beat.said['sentence']}"
    fault_table.keep("Watchdog", said, max(beats) - began, beat.at - healed, stays)
    # Each 5 s while all is well.
    assert silent > 15
