"""A fault is made, an alert is judged, somebody is told with the right sentence, and told again when it is over."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.dashboards import recording, units
from tests.e2e import hosts
from tests.e2e.ansible_runs import ROOT, Playbooks
from tests.e2e.conftest import boot, serving, site_of
from tests.e2e.fab_runs import Fab, again
from tests.e2e.load import Seen, Shop
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab
from tests.receiver import Receiver

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(1500)]

# Of the test's: a fault is judged in seconds, not in minutes.
HASTE: dict[str, Any] = {"prometheus_scrape_seconds": 5, "exporters_seconds": 15}
FIRES, ENDS = 240, 300
PUBLIC = "/etc/ssl/slipway/public.pem"
BY_ITSELF = "systemctl list-units --plain --no-legend 'shop@*' | cut -d' ' -f1"
RESULTS = ROOT / "build/e2e/alerts.json"


@dataclass(frozen=True)
class Fault:
    """made, healed: commands on the host that serves. told: the sentence, as a regular expression."""

    alert: str
    said: str
    made: str
    healed: str
    told: str


FAULTS = (
    Fault(
        "DatabaseCritical", "PostgreSQL is stopped", "systemctl stop postgresql@14-main",
        "systemctl start postgresql@14-main", r"shop: PostgreSQL on seen-1 takes no connection .*its unit is inactive",
    ),
    Fault(
        "RolloutLostRequests", "a rollout's record says that requests were lost",
        """slipway record deploy.end --details='{"result": "ok", "lost": 7, "max_gap_ms": 900}'""",
        """slipway record deploy.end --details='{"result": "ok", "lost": 0, "max_gap_ms": 60}'""",
        r"shop: the last rollout lost 7 of its probe's requests\.",
    ),
    Fault(
        "CertificateEndsSoon", "a certificate of three days is in the folder",
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 3 -subj /CN=old -keyout /dev/null -out {PUBLIC}",
        f"rm {PUBLIC}", r"/etc/ssl/slipway/public\.pem on seen-1 ends in 2d ",
    ),
    Fault(
        "ServiceDown", "the live release's unit is stopped", f"systemctl stop $({BY_ITSELF})",
        "systemctl start shop@$(basename $(readlink /srv/shop/current))", r"shop on seen-1 does not answer",
    ),
    Fault(
        "EdgeDown", "nginx is stopped", "systemctl stop nginx", "systemctl start nginx",
        r"nginx on seen-1 does not answer",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Watched:
    """A host that serves, the one that watches it, and who is told."""

    lab: Lab
    site: Site
    receiver: Receiver
    playbooks: Playbooks

    @property
    def seen(self) -> Host:
        return self.lab.host("seen-1")

    @property
    def watch(self) -> Host:
        return self.lab.host("watch-1")

    @property
    def variables(self) -> dict[str, Any]:
        told = {f"alertmanager_{name}_url": self.receiver.url(path) for name, path in URLS.items()}
        return {**HASTE, **told}


URLS = {"webhook": "alerts", "heartbeat": "heartbeat"}


def asked(host: Host, address: str) -> tuple[int, str]:
    """(status, text) of what a host is answered without a certificate."""
    status, text = hosts.python(host, "asking.py", addresses=[address])[address]
    return status, text


def targets(host: Host) -> dict[str, str]:
    """{job host: health} of all that Prometheus asks."""
    _, said = asked(host, "http://127.0.0.1:9090/api/v1/targets?state=active")
    return {
        f"{each['labels']['job']} {each['labels']['host']}": f"{each['health']} {each['lastError']}".strip()
        for each in json.loads(said)["data"]["activeTargets"]
    }


def test_one_host_watches_itself_and_tells_somebody_that_it_does(
    spoilt: Host, lab: Lab, playbooks: Playbooks, tmp_path: Path
) -> None:
    group = tmp_path / "monitoring.yml"
    group.write_text(f"monitoring:\n  hosts:\n    {spoilt.name}:\n")
    before = hosts.listening(spoilt, "tcp")
    with Receiver(lab.site.network.address) as receiver:
        told = {f"alertmanager_{name}_url": receiver.url(path) for name, path in URLS.items()}
        words = ("--inventory", str(group), "--tags", "exporters,nginx,prometheus,alertmanager")
        playbooks.run("site.yml", *words, **{**HASTE, **told}).succeeded()
        receiver.await_("Watchdog", "firing", 0.0, 90)
        assert set(targets(spoilt).values()) == {"up"}
    beyond = {address for address, _ in hosts.listening(spoilt, "tcp") - before}
    assert beyond == {"127.0.0.1"}


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    """Both hosts, configured, and whoever is told."""
    for lab in boot("SLIPWAY_E2E_MONITORED", "inventory/monitored"):
        with Receiver(lab.site.network.address) as receiver:
            made = Watched(lab, site_of(lab), receiver, Playbooks(lab.site.inventory))
            made.playbooks.run("site.yml", **made.variables).succeeded()
            serving(made.seen, made.site)
            # A database without a backup is a warning, and right so.
            Fab("monitored").run("db-backup").ended(0)
            Fab("monitored").run("db-restore", "--test").ended(0)
            yield made


def test_a_second_run_changes_nothing(watched: Watched) -> None:
    assert watched.playbooks.run("site.yml", **watched.variables).succeeded().changed == 0


def test_every_target_answers_and_nobody_without_a_certificate_is_answered(watched: Watched) -> None:
    expected = {
        "node seen-1",
        "node watch-1",
        "nginx seen-1",
        "service seen-1",
        "prometheus watch-1",
        "alertmanager watch-1",
    }
    hosts.until(
        "every target is up", lambda: set(targets(watched.watch).values()) == {"up"}, seconds=60,
        show=lambda: str(targets(watched.watch)),
    )  # fmt: skip
    assert set(targets(watched.watch)) == expected
    for address in ("https://seen-1:9100/metrics", "https://seen-1:9146/service", "http://seen-1:9146/nginx"):
        status, text = asked(watched.watch, address)
        assert status in (0, 400), f"{address} answered {status}: {text[:200]}"
    for host in (watched.seen, watched.watch):
        ports = {
            port
            for address, port in hosts.listening(host, "tcp")
            if not address.startswith(("127.", "[::1]"))
        }
        assert not ports & {"9090", "9093", "9094"}


def test_a_deploy_and_a_rollback_call_nobody(watched: Watched) -> None:
    began = time.monotonic()
    hosts.until("nothing fires", lambda: Fab("monitored").run("alerts").status == 0, seconds=180)
    fab = Fab("monitored")
    live = hosts.live_release(watched.seen)
    fab.deploy(again(ROOT / f"build/bundles/shop-{live}.tar"), bake=5).ended(0, "lost=0")
    fab.run("rollback", "--yes").ended(0)
    time.sleep(75)
    came = [each for each in watched.receiver.alerts(began) if each.status == "firing"]
    assert [f"{each.name}: {each.said['sentence']}" for each in came] == []
    metrics = hosts.output(watched.seen, "cat /var/lib/prometheus/node-exporter/slipway-shop.prom")
    assert re.search(r'slipway_rollout_timestamp_seconds\{app="shop",kind="rollback"\}', metrics)
    assert 'slipway_rollout_lost{app="shop"} 0\n' in metrics


# What a panel has nothing to show of on these hosts, and why.
EMPTY = {
    "database: What is not right": "everything is, at the end",
    "hosts: Disk left": "a lab's disk is an overlay, which node-exporter leaves out",
    "hosts: Least disk left": "the same",
    "service: Cache": "there is no Redis",
}


@contextmanager
def customers(watched: Watched) -> Iterator[list[Seen]]:
    """Who orders, and who looks around, also for what is not there. The list holds what was seen once it ended."""
    ended = threading.Event()
    seen: list[Seen] = []
    paths = ["/api/v1/products", "/api/v1/products?category=load", "/health/ready", "/nowhere"]

    def look() -> None:
        while not ended.wait(0.2):
            watched.site.request("GET", paths[int(time.monotonic() * 5) % len(paths)])

    visitor = threading.Thread(target=look)
    load = Shop(watched.site, watched.seen, 4).load(8)
    with load:
        visitor.start()
        try:
            yield seen
        finally:
            ended.set()
            visitor.join()
    seen.append(load.seen)


def answered(host: Host, paths: list[str]) -> Mapping[str, str]:
    """{path: what Prometheus answers} of a monitoring host."""
    wanted = {f"http://127.0.0.1:9090{path}": path for path in paths}
    said = hosts.python(host, "asking.py", addresses=list(wanted))
    return {path: said[address][1] for address, path in wanted.items()}


def test_every_panel_is_answered_in_its_unit_and_deploys_are_marked(watched: Watched) -> None:
    began, fab = time.time(), Fab("monitored")
    live = hosts.live_release(watched.seen)
    with customers(watched):
        time.sleep(40)
        fab.deploy(again(ROOT / f"build/bundles/shop-{live}.tar"), bake=5).ended(0, "lost=0")
        deployed = hosts.live_release(watched.seen)
        time.sleep(40)
        hosts.output(
            watched.seen, "systemctl stop postgresql@14-main && sleep 40; systemctl start postgresql@14-main"
        )
        time.sleep(50)
        fab.run("rollback", "--yes").ended(0)
        time.sleep(50)
    window = recording.Window(began, time.time(), 5, 30)
    answers = recording.record(lambda paths: answered(watched.watch, paths), window)

    empty = {name for name, _, values in units.panels(answers) if not values}
    wrong = {name: units.outside(unit, values)[:5] for name, unit, values in units.panels(answers)}
    marked = {row["metric"]["release"] for row in answers[recording.RELEASES]}
    assert sorted(empty) == sorted(EMPTY)
    assert {name: values for name, values in wrong.items() if values} == {}
    assert {live, deployed} <= marked


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.alert)
def test_a_fault_is_told_with_its_sentence_and_again_when_it_is_over(watched: Watched, fault: Fault) -> None:
    began = time.monotonic()
    hosts.output(watched.seen, fault.made)
    came = watched.receiver.await_(fault.alert, "firing", began, FIRES)
    shown = Fab("monitored").run("alerts")
    healed = time.monotonic()
    hosts.output(watched.seen, fault.healed)
    gone = watched.receiver.await_(fault.alert, "resolved", healed, ENDS)
    kept(fault, came.at - began, gone.at - healed, came.said["sentence"])

    assert re.search(fault.told, came.said["sentence"]), came.said
    assert came.said["command"]
    assert (ROOT / "docs/runbooks" / came.said["runbook"]).is_file(), came.said
    assert shown.status in (1, 2)
    assert fault.alert in shown.output


def test_a_host_that_is_away_is_the_only_news_of_it(watched: Watched) -> None:
    began = time.monotonic()
    watched.seen.kill()
    came = watched.receiver.await_("HostDown", "firing", began, FIRES)
    healed = time.monotonic()
    watched.lab.up(["seen-1"])
    gone = watched.receiver.await_("HostDown", "resolved", healed, ENDS)
    away = Fault("HostDown", "the host is switched off", "", "", "")
    kept(away, came.at - began, gone.at - healed, came.said["sentence"])

    assert came.said["sentence"] == "seen-1 does not say how it is."


def kept(fault: Fault, fired: float, ended: float, sentence: str) -> None:
    """For the table of docs/monitoring.md."""
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    rows[fault.alert] = {
        "fault": fault.said,
        "fired": round(fired),
        "ended": round(ended),
        "sentence": sentence,
    }
    RESULTS.write_text(json.dumps(rows, indent=2))
