"""A fault is made, an alert is judged, somebody is told with the right sentence, and told again when it is over."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.e2e import disks, hosts
from tests.e2e.ansible_runs import Playbooks
from tests.e2e.watched import SOON, Watched, asked, customers, panels, targets, told_at
from tests.lab.host import Host
from tests.lab.lab import Lab
from tests.receiver import Receiver

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(1500)]

FIRES, ENDS = 240, 300


def test_one_host_watches_itself_and_tells_somebody_that_it_does(
    spoilt: Host, lab: Lab, playbooks: Playbooks, tmp_path: Path
) -> None:
    group = tmp_path / "monitoring.yml"
    group.write_text(f"monitoring:\n  hosts:\n    {spoilt.name}:\n")
    before = hosts.listening(spoilt, "tcp")
    with Receiver(lab.site.network.address) as receiver:
        words = ("--inventory", str(group), "--tags", "exporters,nginx,prometheus,alertmanager")
        playbooks.run("site.yml", *words, **{**SOON, **told_at(receiver)}).succeeded()
        receiver.await_("Watchdog", "firing", 0.0, 90)
        assert set(targets(spoilt).values()) == {"up"}
    beyond = {address for address, _ in hosts.listening(spoilt, "tcp") - before}
    assert beyond == {"127.0.0.1"}


def test_a_second_run_changes_nothing(watched: Watched) -> None:
    assert watched.playbooks.run("site.yml", **watched.variables).succeeded().changed == 0


def test_every_target_answers_and_nobody_without_a_certificate_is_answered(watched: Watched) -> None:
    expected = {
        *(f"{job} seen-{number}" for job in ("node", "nginx", "service") for number in (1, 2)),
        "node watch-1",
        "prometheus watch-1",
        "alertmanager watch-1",
    }
    hosts.until(
        "every target is up", lambda: set(watched.targets().values()) == {"up"}, seconds=60,
        show=lambda: str(watched.targets()),
    )  # fmt: skip
    assert set(watched.targets()) == expected
    for address in ("https://seen-1:9100/metrics", "https://seen-1:9146/service", "http://seen-1:9146/nginx"):
        status, text = asked(watched.watch, address)
        assert status in (0, 400), f"{address} answered {status}: {text[:200]}"
    for host in watched.lab.hosts.values():
        ports = {
            port
            for address, port in hosts.listening(host, "tcp")
            if not address.startswith(("127.", "[::1]"))
        }
        assert not ports & {"9090", "9093", "9094"}


def test_a_deploy_a_rollback_and_a_reboot_of_one_of_two_call_nobody(watched: Watched) -> None:
    fab, began = watched.fab, time.monotonic()
    hosts.until("nothing fires", lambda: fab.run("alerts").status == 0, seconds=180)
    with customers(watched) as seen:
        fab.deploy(watched.bundle(), bake=5).ended(0, "lost=0")
        fab.run("rollback", "--yes").ended(0)
        hosts.output(watched.other, "slipway drain")
        time.sleep(3)
        watched.other.reboot()
        hosts.until("it is ready", lambda: watched.other.run("slipway undrain").returncode == 0, seconds=60)
        time.sleep(75)
    seen[0].lost_nothing()
    came = [each for each in watched.receiver.alerts(began) if each.status == "firing"]
    assert [f"{each.name}: {each.said['sentence']}" for each in came] == []
    metrics = hosts.output(watched.seen, "cat /var/lib/prometheus/node-exporter/slipway-shop.prom")
    assert re.search(r'slipway_rollout_timestamp_seconds\{app="shop",kind="rollback"\}', metrics)
    assert 'slipway_rollout_lost{app="shop"} 0\n' in metrics


def test_who_watches_a_host_already_is_refused_and_taken_over_only_when_that_is_said(
    watched: Watched, tmp_path: Path
) -> None:
    group = tmp_path / "monitoring.yml"
    group.write_text("monitoring:\n  hosts:\n    seen-2:\n")
    words = ("--inventory", str(group), "--limit=seen-2")
    foreign = "/etc/prometheus/prometheus.yml"
    hosts.output(watched.other, f"echo 'global: {{}}' >{foreign}")
    occupied = "systemd-run --quiet --unit=somebodys python3 -m http.server 9093 --bind 127.0.0.1"
    hosts.output(watched.other, occupied)
    try:
        said = watched.playbooks.run("playbooks/preflight.yml", *words, **watched.variables).refused()
        taken = {**watched.variables, "prometheus_takeover": True, "alertmanager_port": 9095}
        watched.playbooks.run("playbooks/preflight.yml", *words, **taken).succeeded()
    finally:
        hosts.output(watched.other, f"systemctl stop somebodys; rm {foreign}")
    said.says(f"seen-2 has a Prometheus that is not Slipway's ({foreign})", "Nothing was changed.")


# What a panel has nothing to show of on these hosts, and why.
EMPTY = {
    "database: What is not right": "everything is, at the end",
    "service: Cache": "there is no Redis",
}


def test_every_panel_is_answered_in_its_unit_and_deploys_are_marked(watched: Watched) -> None:
    began, fab = time.time(), watched.fab
    live = hosts.live_release(watched.seen)
    # A lab's own disk is an overlay, which node-exporter leaves out.
    with disks.attached(watched.other, "/srv/disk", 64), customers(watched):
        time.sleep(40)
        fab.deploy(watched.bundle(), bake=5).ended(0, "lost=0")
        deployed = hosts.live_release(watched.seen)
        time.sleep(40)
        hosts.output(
            watched.seen, "systemctl stop postgresql@14-main && sleep 40; systemctl start postgresql@14-main"
        )
        time.sleep(50)
        fab.run("rollback", "--yes").ended(0)
        time.sleep(50)
    empty, wrong, marked = panels(watched, began)

    assert empty <= EMPTY.keys()
    assert wrong == {}
    assert {live, deployed} <= marked


def test_a_host_that_is_away_is_the_only_news_of_it(watched: Watched) -> None:
    began = time.monotonic()
    watched.other.kill()
    came = watched.receiver.await_("HostDown", "firing", began, FIRES)
    watched.lab.up(["seen-2"])
    watched.receiver.await_("HostDown", "resolved", came.at, ENDS)

    news = {each.name for each in watched.receiver.alerts(began) if each.labels.get("host") == "seen-2"}
    assert news == {"HostDown"}
    assert came.said["sentence"] == "seen-2 does not say how it is."
