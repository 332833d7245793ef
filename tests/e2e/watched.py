"""Hosts that serve, the one that watches them, who is told, and who orders meanwhile."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.dashboards import recording, units
from tests.e2e import hosts
from tests.e2e.ansible_runs import ROOT, Playbooks
from tests.e2e.conftest import AS_IS, boot, serving, site_of
from tests.e2e.fab_runs import Fab, again
from tests.e2e.load import Seen, Shop
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab
from tests.receiver import Receiver

# Of the tests': a fault is judged in seconds, not in minutes.
SOON: dict[str, Any] = {"prometheus_scrape_seconds": 5, "exporters_seconds": 15}
URLS = {"webhook": "alerts", "heartbeat": "heartbeat"}
# Orders a second.
RATE = 8


@dataclass(frozen=True)
class Watched:
    """seen: has the database and the edge as well; other: the second app host."""

    lab: Lab
    site: Site
    receiver: Receiver
    playbooks: Playbooks

    @property
    def seen(self) -> Host:
        return self.lab.host("seen-1")

    @property
    def other(self) -> Host:
        return self.lab.host("seen-2")

    @property
    def watch(self) -> Host:
        return self.lab.host("watch-1")

    @property
    def fab(self) -> Fab:
        return Fab(self.lab.site.inventory.name)

    @property
    def variables(self) -> dict[str, Any]:
        return {**SOON, **told_at(self.receiver)}

    def bundle(self) -> Path:
        """Of a release that no host has: the live one's code, built a moment later."""
        return again(ROOT / f"build/bundles/shop-{hosts.live_release(self.seen)}.tar")

    def targets(self) -> dict[str, str]:
        """{job host: health} of all that Prometheus asks."""
        return targets(self.watch)

    def asked(self, expr: str) -> list[Any]:
        """What Prometheus answers to an expression now."""
        path = "/api/v1/query?" + urlencode({"query": expr})
        found: list[Any] = json.loads(answered(self.watch, [path])[path])["data"]["result"]
        return found


def told_at(receiver: Receiver) -> dict[str, str]:
    """The variables that make a receiver the one who is told."""
    return {f"alertmanager_{name}_url": receiver.url(path) for name, path in URLS.items()}


def asked(host: Host, address: str) -> tuple[int, str]:
    """(status, text) of what a host is answered without a certificate."""
    status, text = hosts.python(host, "asking.py", addresses=[address])[address]
    return status, text


def answered(host: Host, paths: list[str]) -> Mapping[str, str]:
    """{path: what Prometheus answers} of a monitoring host."""
    wanted = {f"http://127.0.0.1:9090{path}": path for path in paths}
    said = hosts.python(host, "asking.py", addresses=list(wanted))
    return {path: said[address][1] for address, path in wanted.items()}


def targets(host: Host) -> dict[str, str]:
    """{job host: health} of all that a monitoring host's Prometheus asks."""
    _, said = asked(host, "http://127.0.0.1:9090/api/v1/targets?state=active")
    return {
        f"{each['labels']['job']} {each['labels']['host']}": f"{each['health']} {each['lastError']}".strip()
        for each in json.loads(said)["data"]["activeTargets"]
    }


def panels(watched: Watched, began: float) -> tuple[set[str], dict[str, list[float]], set[str]]:
    """The panels that nothing is answered for since then, values of others that their units cannot have, and the
    releases that graphs are marked with."""
    window = recording.Window(began, time.time(), 5, 30)
    answers = recording.record(lambda paths: answered(watched.watch, paths), window)
    empty = {name for name, _, values in units.panels(answers) if not values}
    wrong = {name: units.outside(unit, values)[:5] for name, unit, values in units.panels(answers)}
    marked = {row["metric"]["release"] for row in answers[recording.RELEASES]}
    return empty, {name: values for name, values in wrong.items() if values}, marked


def watching() -> Iterator[Watched]:
    """The hosts of inventory/monitored, configured, and whoever is told."""
    for lab in boot("SLIPWAY_E2E_MONITORED", "inventory/monitored"):
        with Receiver(lab.site.network.address) as receiver:
            made = Watched(lab, site_of(lab), receiver, Playbooks(lab.site.inventory))
            if AS_IS:
                words = ("--limit=watch-1", "--tags=alertmanager")
                made.playbooks.run("playbooks/monitoring.yml", *words, **made.variables).succeeded()
            else:
                made.playbooks.run("site.yml", **made.variables).succeeded()
                # A database without a backup is a warning, and right so.
                made.fab.run("db-backup").ended(0)
                made.fab.run("db-restore", "--test").ended(0)
            serving(made.seen, made.site)
            yield made


@contextmanager
def customers(watched: Watched) -> Iterator[list[Seen]]:
    """Who orders, and who looks around, also for what is not there. The list holds what was seen once it ended."""
    ended = threading.Event()
    seen: list[Seen] = []
    paths = ["/api/v1/products", "/api/v1/products?category=load", "/health/ready", "/nowhere"]

    def look() -> None:
        while not ended.wait(0.2):
            try:
                watched.site.request("GET", paths[int(time.monotonic() * 5) % len(paths)])
            except OSError:
                """The edge is away, which whoever orders counts."""

    visitor = threading.Thread(target=look)
    load = Shop(watched.site, watched.seen, 4).load(RATE)
    with load:
        visitor.start()
        try:
            yield seen
        finally:
            ended.set()
            visitor.join()
    seen.append(load.seen)
