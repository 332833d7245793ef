"""A host whose node-exporter another service's inventory states: none is stated there, and none is asked."""

from __future__ import annotations

import pytest
import yaml

from tests.once import made_once
from tests.templates.rendering import Case, HostTree, render
from tests.unit.plugins.ansible_run import REPOSITORY

OTHERS = "seen-2"
NODE = ("etc/default/prometheus-node-exporter", "etc/prometheus/slipway-web.yml")


@pytest.fixture(scope="session")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, HostTree]:
    """What the hosts of inventory/monitored get, where the second one's node-exporter is another service's."""
    case = Case("monitored", "Ubuntu-22")
    facts = yaml.safe_load((REPOSITORY / "tests/templates/facts/Ubuntu-22.yml").read_text())
    facts["packages"]["prometheus-node-exporter"] = "1.3.1-1"
    path = tmp_path_factory.mktemp("facts") / "facts.yml"
    path.write_text(yaml.safe_dump(facts))
    says = {"render_facts": str(path), "exporters_node": f"{{{{ inventory_hostname != '{OTHERS}' }}}}"}
    folder = made_once(tmp_path_factory, "one-exporter", lambda folder: render(case, folder, **says))
    return {host: HostTree(case, host, folder / host) for host in case.hosts}


def test_prometheus_asks_nginx_and_the_service_there_and_no_node_exporter(trees: dict[str, HostTree]) -> None:
    jobs = yaml.safe_load(trees["watch-1"].text("etc/prometheus/prometheus.yml"))["scrape_configs"]
    asked = {
        (target["labels"].get("job", job["job_name"]), target["labels"]["host"])
        for job in jobs
        for target in job["static_configs"]
    }

    assert {job for job, host in asked if host == OTHERS} == {"nginx", "service"}
    assert {host for job, host in asked if job == "node"} == {"seen-1", "watch-1"}


def test_nothing_of_a_node_exporter_is_written_there_and_the_services_own_timer_is(
    trees: dict[str, HostTree],
) -> None:
    assert [path for path in trees[OTHERS].paths() if path in NODE or "node-exporter" in path] == []
    assert trees[OTHERS].has("etc/systemd/system/slipway-metrics-shop.timer")
    assert all(trees["seen-1"].has(path) for path in NODE)
