"""Two services on one host: each is converged, deployed and retired without a word of the other's."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks
from tests.e2e.fab_runs import Fab, again, release_of
from tests.e2e.ground import RATE, Ground, ground_of
from tests.e2e.second_service import APP, BESIDE, NAME, PUBLIC, Visitors, bundle, inventory
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(900)]

# The shop's own, byte by byte, whatever the other service does.
SHOPS = (
    "/etc/shop", "/etc/slipway/shop", "/srv/shop", "/var/lib/slipway/shop", "/var/lib/slipway/files/shop",
    "/etc/postgresql/14/main", "/usr/local", "/etc/ssl/slipway/host.pem", "/etc/nginx/nginx.conf",
    "/etc/nginx/conf.d/shop.conf", "/etc/sudoers.d", "/etc/rsyslog.conf", "/etc/rsyslog.d/10-shop.conf", "/etc/ssh",
    "/etc/systemd/system/shop@.service",
)  # fmt: skip
DEPLOYS, SECONDS = 10, 150.0


@pytest.fixture(scope="module")
def ground(spoilt: Host, lab: Lab, site: Site) -> Ground:
    """The host that serves the shop."""
    return ground_of(lab, site)


@pytest.fixture(scope="module")
def stall(ground: Ground, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playbooks]:
    """The playbooks on the second service's inventory."""
    with inventory(lab.site.inventory, **BESIDE) as folder:
        yield Playbooks(folder)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The second service's bundle."""
    return bundle(tmp_path_factory.mktemp("stall"))


def visitors(lab: Lab) -> Visitors:
    return Visitors(lab.address("edge"), lab.site.state / "generated" / NAME / "pki/ca.pem", PUBLIC)


def live(host: Host, app: str) -> str:
    return hosts.output(host, f"basename $(readlink /srv/{app}/current)")


def test_what_the_first_one_has_is_refused_all_at_once(ground: Ground, lab: Lab) -> None:
    with inventory(lab.site.inventory, app_name=APP) as folder:
        run = Playbooks(folder).run("site.yml").refused()
    assert run.changed == 0, run
    run.says(
        "The folder /etc/ssl/slipway is shop's, another service of this host: set certificates_folder to something",
        "The PostgreSQL cluster 14/main is shop's, another service of this host: set postgresql_cluster",
        "The port 9145 is shop's, another service of this host: set nginx_metrics_port",
        f"The name {lab.address('edge')} is shop's, another service of this host: set nginx_server_names",
        "Whoever asks by no name that is served is shop's, another service of this host: set nginx_default_server",
        "Nothing was changed.",
    )


def test_a_second_service_comes_and_leaves_the_first_as_it_was(
    ground: Ground, lab: Lab, stall: Playbooks, playbooks: Playbooks, built: Path
) -> None:
    host, before = ground.first, hosts.files(ground.first, *SHOPS)
    started = hosts.output(
        host, f"systemctl show --value --property=ActiveEnterTimestamp {hosts.live_unit(host)}"
    )

    stall.run("site.yml", release_bundle=str(built)).succeeded()

    assert live(host, APP) == release_of(built)
    # sudo and look-at-postgresql of the second are its own, beside.
    changes = [
        line for line in hosts.differences(before, hosts.files(host, *SHOPS)).splitlines() if APP not in line
    ]
    assert changes == []
    now = hosts.output(
        host, f"systemctl show --value --property=ActiveEnterTimestamp {hosts.live_unit(host)}"
    )
    assert now == started
    with visitors(lab) as people:
        hosts.until("somebody was answered", lambda: people.answers[200] > 3, seconds=30)
    people.lost_nothing()
    ground.is_whole()
    for run in (stall.run("site.yml").succeeded(), playbooks.run("site.yml").succeeded()):
        assert run.changed == 0, run
    assert stall.run("site.yml").succeeded().changed == 0


def test_one_deployed_again_and_again_costs_neither_a_request(ground: Ground, lab: Lab, built: Path) -> None:
    shop, fab, began, done = ground.shop(), Fab(NAME), time.monotonic(), 0
    with shop.load(RATE / 2) as load, visitors(lab) as people:
        while done < DEPLOYS and (not done or time.monotonic() - began < SECONDS):
            fab.deploy(again(built)).ended(0, "is live on every app host", "lost=0")
            done += 1
    print(f"{done} deploys in {time.monotonic() - began:.0f} s; {people}; {load.seen}")
    load.seen.lost_nothing()
    people.lost_nothing()
    assert {answer.release for answer in load.seen.answers} == {ground.live()}
    assert shop.orders() == load.seen.placed
    assert done > 1


def test_each_has_its_own_backups_status_and_journal(ground: Ground) -> None:
    fab, host = Fab(NAME), ground.first
    fab.run("db-backup", "--reason=by a test").ended(0)
    assert hosts.output(host, f"ls /var/backups/slipway/{APP}/*.dump | wc -l") == "1"
    fab.run("status").ended(0, live(host, APP))
    ground.fab.run("status").ended(0, ground.live())
    for app in ("shop", APP):
        hosts.output(host, f"slipway --app={app} journal --verify")
    assert "Say it first: slipway --app=shop status" in hosts.refused(host, "slipway status 2>&1")
    assert ground.fab.run("db-status").status in (0, 1)
    assert fab.run("db-status").status in (0, 1)


def test_who_asks_by_no_name_of_either_is_told_so(ground: Ground) -> None:
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((ground.site.address, 443), 10) as plain:
        connection = http.client.HTTPConnection("nobody.test")
        connection.sock = anybody.wrap_socket(plain, server_hostname="nobody.test")
        connection.request("GET", "/")
        assert connection.getresponse().status == 421


def test_one_goes_and_the_other_serves_on(
    ground: Ground, lab: Lab, stall: Playbooks, playbooks: Playbooks
) -> None:
    host, before = ground.first, hosts.files(ground.first, *SHOPS)
    with Visitors(lab.address("edge"), ground.site.ca, ground.site.address, keep=False) as people:
        stall.run(
            "playbooks/retire.yml",
            retire_host=host.name,
            retire_in_use=True,
            retire_data=True,
            retire_confirm=host.name,
        ).succeeded().says("shop and what it shares with stall stay as they were")
    people.lost_nothing()
    changes = [
        line for line in hosts.differences(before, hosts.files(host, *SHOPS)).splitlines() if APP not in line
    ]
    assert changes == []
    left = (
        f"ls -d /srv/{APP} /etc/{APP} /etc/slipway/{APP} /var/lib/slipway/{APP} /run/{APP} 2>/dev/null; true"
    )
    assert hosts.output(host, left) == ""
    assert hosts.output(host, f"getent passwd {APP} {APP}_migrate; true") == ""
    assert "14 main" in " ".join(hosts.output(host, "pg_lsclusters -h").split())
    assert hosts.output(host, "pg_lsclusters -h | wc -l") == "1"
    run = playbooks.run("site.yml").succeeded()
    assert run.changed == 0, run
    ground.is_whole()
