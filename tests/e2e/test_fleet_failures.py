"""A fleet in which something fails: the public is served, nothing is lost, and what is lost can be put back."""

import re
import threading
import time

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks
from tests.e2e.test_fleet import in_group
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200), pytest.mark.usefixtures("fleet_run")]

REQUESTS = 60
# The edge gives a connection to an app host 2 s, and asks the next.
SLOWEST = 3.5


def test_the_public_is_served_while_an_app_host_is_down(fleet: Lab, fleet_site: Site) -> None:
    (edge,) = in_group(fleet, "edge")
    app = in_group(fleet, "app")[1]
    app.kill()
    statuses, seconds = [], []
    try:
        for _ in range(REQUESTS):
            began = time.monotonic()
            statuses.append(fleet_site.get("/api/v1/products").status)
            seconds.append(time.monotonic() - began)
    finally:
        fleet.up([app.name])
    print(
        f"{sum(status >= 500 for status in statuses)} of {REQUESTS} failed, the slowest took {max(seconds):.2f} s"
    )
    assert statuses == [200] * REQUESTS
    assert max(seconds) < SLOWEST
    hosts.until(
        f"{app.name} serves again",
        lambda: hosts.python(edge, "fetch.py", address=app.address, path="/health/ready", shown=True) == 200,
        seconds=20,
        show=lambda: hosts.journal(app),
    )


def test_the_public_is_served_while_the_release_of_an_app_host_is_down(fleet: Lab, fleet_site: Site) -> None:
    app = in_group(fleet, "app")[1]
    unit = hosts.live_unit(app)
    hosts.output(app, f"systemctl stop '{unit}'")
    try:
        statuses = [fleet_site.get("/api/v1/products").status for _ in range(REQUESTS)]
    finally:
        hosts.output(app, f"systemctl start '{unit}'")
    assert statuses == [200] * REQUESTS


def test_lines_wait_while_the_collector_is_away_even_over_a_restart(fleet: Lab, fleet_site: Site) -> None:
    (collector,) = in_group(fleet, "logs")
    apps = in_group(fleet, "app")
    hosts.output(collector, "systemctl stop rsyslog.service syslog.socket")
    try:
        _notice(apps, fleet_site)
        for number in range(20):
            fleet_site.get("/api/v1/products", X_Request_ID=f"waiting-{number}")
        for app in apps:
            hosts.output(app, "systemctl restart rsyslog.service")
        for number in range(20, 40):
            fleet_site.get("/api/v1/products", X_Request_ID=f"waiting-{number}")
    finally:
        hosts.output(collector, "systemctl start rsyslog.service")

    def missing() -> list[str]:
        text = collector.run("cat /var/log/remote/*/shop.log").stdout
        return [f"waiting-{number}" for number in range(40) if f'"waiting-{number}"' not in text]

    hosts.until(
        "every line that waited is on the collector",
        lambda: not missing(),
        seconds=60,
        show=lambda: (
            f"missing: {missing()}\n" + "\n".join(hosts.journal(app, "rsyslog.service") for app in apps)
        ),
    )


def _notice(apps: list[Host], site: Site) -> None:
    """Write lines until all that sends on every host has noticed, the service's lines, the host's and nginx's.

    What one had sent and nobody confirmed is in its memory alone.
    """
    since = {app.name: hosts.output(app, "date +%s") for app in apps}
    senders = len(
        hosts.output(apps[0], "grep --no-filename 'type=\"omrelp\"' /etc/rsyslog.d/*.conf").splitlines()
    )

    def noticed(app: Host) -> bool:
        site.get("/api/v1/products", X_Request_ID="noticed")
        said = app.run(f"journalctl --quiet --unit=rsyslog.service --since=@{since[app.name]}").stdout
        return len(set(re.findall(r"action '(\S+_forward)' suspended", said))) == senders

    for app in apps:
        hosts.until(f"{app.name} has noticed", lambda app=app: noticed(app), seconds=60)  # type: ignore[misc]


def test_the_service_comes_back_by_itself_after_the_edge_and_the_database_reboot(
    fleet: Lab, fleet_site: Site
) -> None:
    (database,) = in_group(fleet, "db")
    (edge,) = in_group(fleet, "edge")
    database.reboot()
    edge.reboot()
    hosts.until("the service answers", fleet_site.ready, seconds=20, show=lambda: hosts.journal(database))


def test_an_app_host_that_is_retired_is_missed_by_nobody(
    fleet: Lab, fleet_site: Site, fleet_playbooks: Playbooks
) -> None:
    (edge,), late = in_group(fleet, "edge"), in_group(fleet, "app")[1]
    over, statuses = threading.Event(), []

    def ask() -> None:
        # Below the rate that one client may ask at.
        while not over.wait(0.1):
            statuses.append(fleet_site.get("/api/v1/products").status)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        run = fleet_playbooks.run("playbooks/retire.yml", retire_host=late.name).succeeded()
    finally:
        over.set()
        asking.join()
    assert set(statuses) == {200}, {status: statuses.count(status) for status in set(statuses)}
    assert len(statuses) > REQUESTS, "a request was cut off"
    run.says(f"{late.name} is out of Slipway. Left there: /srv/shop, /var/lib/slipway, /var/log/shop;")
    assert late.address not in hosts.output(edge, "cat /etc/nginx/conf.d/shop.conf")
    assert (
        hosts.output(late, "grep --recursive --files-with-matches 'Written by Slipway' /etc /usr/local; true")
        == ""
    )
    assert hosts.output(late, "systemctl list-units --no-legend 'shop*' 'slipway*' nginx.service") == ""
    assert hosts.output(late, "getent passwd deploy shop shop_migrate; nft list tables; true") == ""
    assert hosts.output(late, "ls /srv/shop/releases") != ""
    again = fleet_playbooks.run("playbooks/retire.yml", retire_host=late.name).succeeded()
    assert again.changed == 0, again


def test_an_app_host_that_joins_gets_the_release_of_the_others(
    fleet: Lab, fleet_site: Site, fleet_playbooks: Playbooks, fleet_secrets: dict[str, str]
) -> None:
    first, late = in_group(fleet, "app")
    (edge,) = in_group(fleet, "edge")
    late.restore("bare")
    run = fleet_playbooks.run("site.yml", "--limit", late.name, **fleet_secrets).succeeded()
    assert set(run.recap) - {"localhost"} == {late.name}, run
    assert hosts.live_release(late) == hosts.live_release(first)
    assert hosts.python(edge, "fetch.py", address=late.address, path="/health/ready", shown=True) == 200
    # The edge was told that it had left.
    fleet_playbooks.run("playbooks/edge.yml", "--limit", edge.name).succeeded()
    assert late.address in hosts.output(edge, "cat /etc/nginx/conf.d/shop.conf")
    fleet_playbooks.run("playbooks/verify.yml").succeeded()
