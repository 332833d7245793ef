"""What it costs to be watched, as often as by default: CPU, what customers wait, and a run that changes nothing.

Printed for docs/measured.md; the machine's load is printed with it.
"""

from __future__ import annotations

import os
import time

import pytest

from tests.e2e import hosts
from tests.e2e.load import Seen
from tests.e2e.watched import Watched, customers
from tests.lab.host import Host

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(1200)]

SCRAPE, LOOK = 15, 60
TURNS, TURN = 3, 20
# What runs for monitoring alone; of each what one look takes, and nginx's part in the scrapes.
LOOKS = ("metrics", "database-status")
TAGS = "exporters,prometheus,alertmanager,grafana"
USED = "cat /proc/$(systemctl show --value -p MainPID {unit})/stat"
TICKS = 100


def cpu(host: Host, unit: str) -> float:
    """Seconds of CPU of a unit's first process."""
    fields = hosts.output(host, USED.format(unit=unit)).rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def look(host: Host, name: str) -> float:
    """Seconds of CPU of one look, as its timer starts it."""
    command = hosts.output(
        host, f"systemctl cat slipway-{name}-shop.service | sed -n 's/^ExecStart=//p' | tail -1"
    )
    script = (
        "import os,subprocess,sys;"
        "[subprocess.run(sys.argv[1].split(),stdout=-3,check=True) for _ in range(3)];"
        "t=os.times();print((t[2]+t[3])/3)"
    )
    return float(hosts.output(host, f"python3 -c '{script}' '{command}'"))


def p99(seen: list[Seen]) -> float:
    """Milliseconds in which 99 of 100 orders were answered."""
    waited = sorted(1000 * (each.at - each.sent) for one in seen for each in one.answers)
    return waited[len(waited) * 99 // 100]


def test_what_scrapes_cost_a_host_and_its_customers(watched: Watched) -> None:
    exporter, judge = "prometheus-node-exporter", "prometheus"
    before, began = cpu(watched.seen, exporter), time.monotonic()
    asking: list[Seen] = []
    alone: list[Seen] = []
    for _ in range(TURNS):
        for kept in (asking, alone):
            hosts.output(watched.watch, f"systemctl {'start' if kept is asking else 'stop'} {judge}")
            with customers(watched) as seen:
                time.sleep(TURN)
            kept += seen
    # It was asked for half of that time, each five seconds.
    asked = (time.monotonic() - began) / 2 / 5
    scrape = (cpu(watched.seen, exporter) - before) / asked
    hosts.output(watched.watch, f"systemctl start {judge}")
    looks = {name: look(watched.seen, name) for name in LOOKS}
    share = scrape / SCRAPE + sum(looks.values()) / LOOK
    counted = [sum(len(one.answers) for one in kept) for kept in (asking, alone)]
    print(
        f"\nload {os.getloadavg()[0]:.1f}: a scrape {1000 * scrape:.0f} ms of CPU, looks "
        f"{', '.join(f'{name} {1000 * seconds:.0f} ms' for name, seconds in looks.items())}: {100 * share:.2f} % of a "
        f"core by default; p99 of {counted[0]} orders with scrapes {p99(asking):.0f} ms, of {counted[1]} without "
        f"{p99(alone):.0f} ms"
    )
    assert share < 0.02
    assert p99(asking) < 2 * p99(alone) + 20


def test_a_run_that_changes_nothing_takes_hardly_longer_for_monitoring(watched: Watched) -> None:
    took: dict[str, list[float]] = {"with": [], "without": []}
    for _ in range(2):
        for name, words in (("with", ()), ("without", (f"--skip-tags={TAGS}",))):
            run = watched.playbooks.run("site.yml", *words, **watched.variables).succeeded()
            assert run.changed == 0
            took[name].append(run.seconds)
    print(f"\nload {os.getloadavg()[0]:.1f}: site.yml with nothing to change, in turns, seconds: {took}")
    assert min(took["with"]) - min(took["without"]) < 10
