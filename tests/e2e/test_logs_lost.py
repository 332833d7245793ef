"""A fleet under orders whose logs host is away, flaps or hangs, and whose hosts die: no line of the service is lost."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e import hosts
from tests.e2e.load import Seen, Shop
from tests.e2e.test_fleet import in_group
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [
    pytest.mark.lab,
    pytest.mark.long,
    pytest.mark.timeout(2400),
    pytest.mark.usefixtures("fleet_run"),
]

RATE = 20.0
ALONE, AWAY, FLAPS, HANGS = 60, 300, 4, 45
FILED = "/var/log/remote/{host}/shop.log"


def p99(seen: Seen) -> float:
    """Milliseconds."""
    return 1000 * statistics.quantiles([each.at - each.sent for each in seen.answers], n=100)[-1]


def said(app: Host, since: str) -> list[str]:
    """The service's lines of a host by its journal, which owes rsyslogd nothing."""
    units = hosts.output(
        app, f"journalctl --quiet --output=cat --unit='shop@*' --since=@{since}"
    ).splitlines()
    return [line for line in units if line.startswith("{")]


@contextmanager
def away(collector: Host) -> Iterator[None]:
    hosts.output(collector, "systemctl stop rsyslog.service syslog.socket")
    try:
        yield
    finally:
        hosts.output(collector, "systemctl start rsyslog.service")


def waiting(app: Host) -> int:
    """How many lines of the service wait on a host, by the queue's own index."""
    index = hosts.output(app, "cat /var/spool/rsyslog/shop_forward.qi")
    return int(index.split("iQueueSize:")[1].split(":")[2])


def test_no_line_of_the_service_is_lost_and_nobody_waits(fleet: Lab, fleet_site: Site) -> None:
    (collector,), (database,), apps = (in_group(fleet, group) for group in ("logs", "db", "app"))
    began = {app.name: hosts.output(app, "date +%s").strip() for app in apps}
    shop = Shop(fleet_site, database, clients=4)
    slow: dict[str, tuple[int, float]] = {}

    def under(name: str, seconds: float) -> None:
        with shop.load(RATE) as load:
            time.sleep(seconds)
        slow[name] = (len(load.seen.lost_nothing().answers), p99(load.seen))

    under("the collector is there", ALONE)
    with away(collector):
        under("away", AWAY)
        backlog = {app.name: waiting(app) for app in apps}
        size = hosts.output(apps[0], "du --bytes --total /var/spool/rsyslog/shop_forward* | tail -1").split()[
            0
        ]
    with shop.load(RATE) as load:
        for _ in range(FLAPS):
            with away(collector):
                time.sleep(7)
            time.sleep(7)
    slow["coming and going"] = (len(load.seen.lost_nothing().answers), p99(load.seen))
    hosts.output(collector, "systemctl kill --signal=STOP rsyslog.service")
    under("hanging", HANGS)
    hosts.output(collector, "systemctl kill --signal=CONT rsyslog.service")
    with away(collector):
        under("away again", 20)
        for app in apps:
            hosts.output(app, "systemctl kill --signal=KILL rsyslog.service")
        under("rsyslogd killed, the collector away", 20)
        for app in apps:
            hosts.until(f"lines wait on {app.name}", lambda app=app: waiting(app), seconds=20)  # type: ignore[misc]
        # As a power cut, but for the page cache, which is the machine's.
        apps[1].kill()
        fleet.up([apps[1].name])
    assert min(backlog.values()) > AWAY

    def missing() -> dict[str, int]:
        found = {}
        for app in apps:
            filed = set(hosts.output(collector, f"cat {FILED.format(host=app.name)}*").splitlines())
            found[app.name] = sum(line not in filed for line in said(app, began[app.name]))
        return found

    hosts.until(
        "every line is on the collector",
        lambda: not any(missing().values()),
        seconds=120,
        show=lambda: str(missing()),
    )
    counted = {app.name: len(said(app, began[app.name])) for app in apps}
    twice = {}
    for app in apps:
        filed = hosts.output(collector, f"cat {FILED.format(host=app.name)}*").splitlines()
        twice[app.name] = len(filed) - len(set(filed))
    print(
        json.dumps(
            {
                "p99": slow,
                "lines": counted,
                "lost": missing(),
                "twice": twice,
                "waited": backlog,
                "bytes": size,
            }
        )
    )
    assert slow["away"][1] < 2 * slow["the collector is there"][1] + 20
