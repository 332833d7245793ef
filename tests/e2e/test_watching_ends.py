"""Hosts that are watched without node-exporter, Grafana from a package, and a monitoring host that is taken out."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e import hosts
from tests.e2e.test_retire import OURS, all_of
from tests.e2e.watched import Watched

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(900)]

# In the place of Grafana's, which no archive here has: its unit stays, and says what it was given.
CONTROL = """\
Package: grafana
Version: 11.0.0
Architecture: all
Maintainer: Nobody <nobody@shop.example>
Description: a stand-in for Grafana
"""
UNIT = """\
[Service]
ExecStart=/bin/sh -c 'cat /etc/grafana/grafana.ini; exec sleep infinity'
[Install]
WantedBy=multi-user.target
"""


def stand_in(folder: Path) -> Path:
    """A package with a unit called grafana-server, and a grafana.ini of its own."""
    tree = folder / "tree"
    for path, text in (
        ("DEBIAN/control", CONTROL),
        ("DEBIAN/conffiles", "/etc/grafana/grafana.ini\n"),
        ("etc/grafana/grafana.ini", "; the package's own\n"),
        ("lib/systemd/system/grafana-server.service", UNIT),
    ):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, folder / "grafana.deb"], check=True)
    return folder / "grafana.deb"


def test_dashboards_are_there_without_a_grafana_and_are_its_own_when_it_comes(
    watched: Watched, tmp_path: Path
) -> None:
    listed = "ls /etc/grafana/dashboards/slipway"
    assert hosts.output(watched.watch, listed).split() == [
        "database.json", "hosts.json", "rollouts.json", "service.json",
    ]  # fmt: skip
    given = {
        "grafana_package": str(stand_in(tmp_path)),
        "grafana_runbooks_url": "https://shop.example/runbooks",
    }
    words = ("--limit=watch-1", "--tags=grafana")
    watched.playbooks.run("playbooks/monitoring.yml", *words, **watched.variables, **given).succeeded()

    assert hosts.output(watched.watch, "systemctl is-active grafana-server") == "active"
    assert "http_addr = 127.0.0.1" in hosts.journal(watched.watch, "grafana-server", lines=80)
    linked = hosts.output(watched.watch, "cat /etc/grafana/dashboards/slipway/service.json")
    assert '"https://shop.example/runbooks"' in linked
    again = watched.playbooks.run(
        "playbooks/monitoring.yml", *words, **watched.variables, **given
    ).succeeded()
    assert again.changed == 0


def test_a_node_exporter_that_is_another_services_is_neither_run_nor_asked(
    watched: Watched, tmp_path: Path
) -> None:
    says = tmp_path / "beside.yml"
    says.write_text("all:\n  hosts:\n    seen-2:\n      exporters_node: false\n")
    words = ("--inventory", str(says), "--tags=exporters,prometheus")
    site = watched.playbooks.run("playbooks/monitoring.yml", *words, **watched.variables).succeeded()
    assert site.changed
    # By itself it would listen on every address.
    unit = "prometheus-node-exporter"
    assert watched.other.run(f"systemctl is-enabled {unit}").stdout.strip() == "disabled"
    assert "9100" not in {port for _, port in hosts.listening(watched.other, "tcp")}
    # It restarts, and knows whom it asks a moment later.
    hosts.until("it asks", lambda: bool(watched.targets()), seconds=60)
    assert set(watched.targets()) & {"node seen-2", "nginx seen-2"} == {"nginx seen-2"}
    # What is known of the service is there for whoever states it.
    kept = "/var/lib/prometheus/node-exporter/slipway-shop.prom"
    hosts.output(watched.other, f"rm {kept} && systemctl start slipway-metrics-shop && test -s {kept}")
    assert (
        watched.playbooks.run("playbooks/monitoring.yml", *words, **watched.variables).succeeded().changed
        == 0
    )

    # It is another service's, which the host has meanwhile.
    hosts.output(watched.other, f"systemctl enable --now --quiet {unit}")
    watched.playbooks.run("playbooks/monitoring.yml", *words, **watched.variables).succeeded()
    assert hosts.output(watched.other, f"systemctl is-active {unit}") == "active"

    back = ("--tags=exporters,prometheus",)
    watched.playbooks.run("playbooks/monitoring.yml", *back, **watched.variables).succeeded()
    hosts.until("it is asked again", lambda: watched.targets().get("node seen-2") == "up", seconds=60)


# The last of all that share these hosts, by the files' names as well.
def test_nothing_of_slipways_is_left_on_a_host_that_watched(watched: Watched) -> None:
    typed = {**watched.variables, **all_of(watched.watch)}
    watched.playbooks.run("playbooks/retire.yml", **typed).succeeded()

    assert hosts.output(watched.watch, OURS) == ""
    assert hosts.output(watched.watch, "systemctl --failed --no-legend") == ""
    assert hosts.listening(watched.watch, "tcp") <= {("0.0.0.0", "22"), ("[::]", "22")}
    enabled = "systemctl list-unit-files --state=enabled --no-legend 'prometheus*' 'grafana*' | cat"
    assert hosts.output(watched.watch, enabled) == ""
