"""Five hosts, one service: edge, two app hosts, database and logs, configured by the same playbook."""

import json
import shlex
from collections.abc import Iterator

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks, Run
from tests.e2e.conftest import boot, secrets_of, site_of
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = pytest.mark.lab

# What each group's hosts listen on for others, beside ssh.
LISTENERS = {"edge": {"80", "443"}, "app": {"8443"}, "db": {"5432"}, "logs": {"2514"}}


@pytest.fixture(scope="module")
def fleet() -> Iterator[Lab]:
    """The fleet, bare."""
    yield from boot("SLIPWAY_E2E_FLEET", "inventory/fleet")


@pytest.fixture(scope="module")
def playbooks(fleet: Lab) -> Playbooks:
    """The playbooks on the fleet."""
    return Playbooks(fleet.site.inventory)


@pytest.fixture(scope="module")
def first_run(fleet: Lab, playbooks: Playbooks) -> Run:
    """site.yml on five bare hosts."""
    return playbooks.run("site.yml").succeeded()


@pytest.fixture
def site(fleet: Lab, first_run: Run) -> Site:
    """The fleet's public site."""
    return site_of(fleet)


def in_group(fleet: Lab, group: str) -> list[Host]:
    """The hosts of a group, in the inventory's order."""
    return [fleet.host(name) for name in fleet.groups[group]]


def test_a_request_goes_from_the_edge_to_an_app_host_to_the_database(fleet: Lab, site: Site) -> None:
    (database,) = in_group(fleet, "db")
    hosts.sql(
        database,
        "INSERT INTO shop.products (id, sku, name, category, price, stock) "
        "VALUES (gen_random_uuid(), 'FLEET-1', 'Fleet', 'proof', 1, 1)",
    )

    answer = site.get("/api/v1/products?category=proof")

    assert [product["sku"] for product in answer.json()["items"]] == ["FLEET-1"], answer
    assert answer.headers["X-Release"] == hosts.live_release(in_group(fleet, "app")[0])


def test_both_app_hosts_serve_the_same_release(fleet: Lab, site: Site) -> None:
    assert len({hosts.live_release(host) for host in in_group(fleet, "app")}) == 1


def test_the_database_is_reached_by_tls_alone(fleet: Lab, site: Site) -> None:
    (database,) = in_group(fleet, "db")
    for _ in range(4):
        site.get("/api/v1/products")

    versions = hosts.sql(
        database,
        "SELECT DISTINCT coalesce(version, 'none') FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
        "WHERE usename = 'shop'",
    )

    assert set(versions.splitlines()) <= {"TLSv1.2", "TLSv1.3"}
    assert versions, "no app host is connected"


def test_the_database_refuses_plain_text_wrong_passwords_and_other_hosts(fleet: Lab, site: Site) -> None:
    (database,) = in_group(fleet, "db")
    app, edge = in_group(fleet, "app")[0], in_group(fleet, "edge")[0]
    # The app hosts have no psql: the service's own driver asks.
    program = (
        "import asyncio, asyncpg, ssl, sys\n"
        "context = ssl.create_default_context(cafile='/etc/ssl/slipway/ca.pem') if sys.argv[2] == 'tls' else False\n"
        "asyncio.run(asyncpg.connect(host=sys.argv[1], user='shop', database='shop', password=sys.stdin.read(),"
        " ssl=context))\n"
    )
    folder = "/srv/shop/current/venv/bin/python"
    password = secrets_of(fleet)["database_password"]

    def connect(tls: str, secret: str) -> str:
        done = app.run(f"{folder} -c {shlex.quote(program)} {database.name} {tls}", stdin=secret)
        return "connected" if done.returncode == 0 else done.stderr.splitlines()[-1]

    assert connect("tls", password) == "connected"
    assert "rejects connection" in connect("plain", password) or "no encryption" in connect("plain", password)
    assert "password authentication failed" in connect("tls", "wrong")
    script = (
        f"python3 -c \"import socket; socket.create_connection(('{database.address}', 5432), 3).close()\""
    )
    assert edge.run(script).returncode == 0, "the port is open; who may come in is pg_hba's to say"
    rules = hosts.sql(database, f"SELECT count(*) FROM pg_hba_file_rules WHERE address = '{edge.address}'")
    assert rules == "0"


def test_the_private_port_answers_the_edge_alone(fleet: Lab, site: Site) -> None:
    first, second = in_group(fleet, "app")
    script = (
        "import ssl, urllib.request, urllib.error\n"
        "context = ssl._create_unverified_context()\n"
        "try:\n"
        f"    print(urllib.request.urlopen('https://{first.address}:8443/health/live', context=context).status)\n"
        "except urllib.error.HTTPError as error:\n"
        "    print(error.code)\n"
    )

    assert hosts.output(second, "python3 -", stdin=script) == "403"
    assert hosts.output(in_group(fleet, "edge")[0], "python3 -", stdin=script) == "200"


def test_log_lines_of_both_app_hosts_are_on_the_logs_host_as_json(fleet: Lab, site: Site) -> None:
    (collector,) = in_group(fleet, "logs")
    for number in range(12):
        site.get("/api/v1/products", X_Request_ID=f"fleet-{number}")
    for app in in_group(fleet, "app"):
        path = f"/var/log/remote/{app.name}/shop.log"

        def filed(path: str = path) -> bool:
            return "fleet-" in collector.run(f"cat {path}").stdout

        def why(app: Host = app) -> str:
            return hosts.journal(app, "rsyslog.service")

        hosts.until(
            f"lines of {app.name} are on {collector.name}",
            filed,
            seconds=20,
            show=why,
        )
        lines = hosts.output(collector, f"cat {path}").splitlines()
        assert all(isinstance(json.loads(line), dict) for line in lines)


def test_lines_wait_while_the_logs_host_is_away(fleet: Lab, site: Site) -> None:
    (collector,) = in_group(fleet, "logs")
    hosts.output(collector, "systemctl stop rsyslog.service syslog.socket")
    try:
        for number in range(20):
            site.get("/api/v1/products", X_Request_ID=f"waiting-{number}")
    finally:
        hosts.output(collector, "systemctl start rsyslog.service")

    def arrived() -> bool:
        text = collector.run("cat /var/log/remote/*/shop.log").stdout
        return all(f'"waiting-{number}"' in text for number in range(20))

    hosts.until("every line that waited is filed", arrived, seconds=90, show=lambda: hosts.journal(collector))


def test_nothing_listens_that_should_not(fleet: Lab, site: Site) -> None:
    for group, expected in LISTENERS.items():
        for host in in_group(fleet, group):
            open_ports = set(
                hosts.output(
                    host, "ss -Htln | awk '{print $4}' | grep -v '^127\\.\\|^\\[::1\\]' | sed 's/.*://'"
                ).split()
            )
            assert open_ports == {"22"} | expected, f"{host.name} listens on {sorted(open_ports)}"


def test_a_second_run_changes_nothing(fleet: Lab, site: Site, playbooks: Playbooks) -> None:
    run = playbooks.run("site.yml").succeeded()

    assert run.changed == 0, run


def test_verify_finds_nothing_wrong_and_changes_nothing(fleet: Lab, site: Site, playbooks: Playbooks) -> None:
    assert playbooks.run("playbooks/verify.yml").succeeded().changed == 0


def test_verify_names_the_app_host_that_does_not_serve(fleet: Lab, site: Site, playbooks: Playbooks) -> None:
    app = in_group(fleet, "app")[1]
    unit = hosts.live_unit(app)
    hosts.output(app, f"systemctl stop '{unit}'")
    try:
        run = playbooks.run("playbooks/verify.yml").refused()
        run.says(f"{app.name}: the release {hosts.live_release(app)} is not ready")
    finally:
        hosts.output(app, f"systemctl start '{unit}'")


def test_the_public_is_served_while_an_app_host_is_down(fleet: Lab, site: Site) -> None:
    app = in_group(fleet, "app")[1]
    app.kill()
    try:
        statuses = [site.get("/api/v1/products").status for _ in range(40)]
    finally:
        fleet.up([app.name])

    assert statuses == [200] * 40
    hosts.until(f"{app.name} serves again", lambda: _answers(in_group(fleet, "edge")[0], app), seconds=30)


def _answers(edge: Host, app: Host) -> bool:
    """Whether an app host's private port answers the edge."""
    script = (
        "import ssl, urllib.request\n"
        f"print(urllib.request.urlopen('https://{app.address}:8443/health/ready', timeout=3,"
        " context=ssl._create_unverified_context()).status)\n"
    )
    return edge.run("python3 -", stdin=script).stdout.strip() == "200"


def test_the_edge_and_the_database_come_back_by_themselves_after_a_reboot(fleet: Lab, site: Site) -> None:
    (database,) = in_group(fleet, "db")
    (edge,) = in_group(fleet, "edge")
    database.reboot()
    edge.reboot()

    hosts.until("the service answers", site.ready, seconds=20, show=lambda: hosts.journal(database))
