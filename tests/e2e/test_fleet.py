"""Five hosts, one service: an edge, two app hosts, a database and a collector of logs, by the same playbook."""

import json

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks, Run
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200), pytest.mark.usefixtures("fleet_run")]

ANY = ("0.0.0.0", "[::]")


def in_group(fleet: Lab, group: str) -> list[Host]:
    """Return the hosts of a group, in the inventory's order."""
    return [fleet.host(name) for name in fleet.groups[group]]


@pytest.fixture
def database(fleet: Lab) -> Host:
    """The host of the database."""
    return in_group(fleet, "db")[0]


@pytest.fixture
def collector(fleet: Lab) -> Host:
    """The host that collects the logs."""
    return in_group(fleet, "logs")[0]


def test_a_request_goes_from_the_edge_to_an_app_host_to_the_database(
    fleet: Lab, fleet_site: Site, database: Host
) -> None:
    product = "gen_random_uuid(), 'FLEET-1', 'Of the fleet', 'fleet', 1, 1"
    hosts.sql(
        database, f"INSERT INTO shop.products (id, sku, name, category, price, stock) VALUES ({product})"
    )
    try:
        response = fleet_site.get("/api/v1/products?category=fleet")
    finally:
        hosts.sql(database, "DELETE FROM shop.products WHERE sku = 'FLEET-1'")
    assert [item["sku"] for item in response.json()["items"]] == ["FLEET-1"], response
    assert response.headers["X-Release"] == hosts.live_release(in_group(fleet, "app")[0])


def test_all_app_hosts_serve_the_same_release(fleet: Lab) -> None:
    assert len({hosts.live_release(host) for host in in_group(fleet, "app")}) == 1


def test_a_second_run_changes_nothing(fleet_playbooks: Playbooks, fleet_secrets: dict[str, str]) -> None:
    run = fleet_playbooks.run("site.yml", **fleet_secrets).succeeded()
    assert run.changed == 0, run


def test_no_secret_is_said_by_a_run_that_says_all(fleet_run: Run, fleet_secrets: dict[str, str]) -> None:
    assert "invocation:" in fleet_run.output, "the run did not say all"
    for secret in fleet_secrets.values():
        assert secret[:10] not in fleet_run.output, fleet_run.log


def test_no_secret_is_in_a_journal_a_log_or_a_process(fleet: Lab, fleet_secrets: dict[str, str]) -> None:
    for host in fleet.hosts.values():
        for place in (
            "journalctl --no-pager --output=json --all",
            "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ",
        ):
            said = host.run(f"{place} 2>/dev/null | tr '\\0' '\\n'").stdout
            assert len(said) > 1000, f"{place} on {host.name} says nothing"
            assert not [secret for secret in fleet_secrets.values() if secret[:10] in said], host.name
        # Not as arguments: sudo writes those of every command into auth.log.
        words = "\n".join(secret[:10] for secret in fleet_secrets.values())
        search = "grep --recursive --files-with-matches --fixed-strings --file=- /var/log /run 2>/dev/null"
        logs = host.run(search, stdin=words)
        assert set(logs.stdout.split()) <= credentials_of(host), logs.stdout


def credentials_of(host: Host) -> set[str]:
    """Return the files in which systemd gives a unit its secrets."""
    return set(host.run("find /run/credentials -type f").stdout.split())


def test_a_password_is_never_a_command(fleet: Lab) -> None:
    for host in fleet.hosts.values():
        assert host.run("ls /hostile").returncode != 0, f"a password was run by a shell on {host.name}"


def test_the_service_reaches_its_database_by_tls_alone(fleet: Lab, fleet_site: Site, database: Host) -> None:
    for _ in range(10):
        fleet_site.get("/api/v1/products")
    connected = hosts.sql(
        database,
        "SELECT client_addr, ssl, version FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'shop'",
    ).splitlines()
    assert {line.split("|")[0] for line in connected} == {host.address for host in in_group(fleet, "app")}
    assert {line.partition("|")[2] for line in connected} <= {"t|TLSv1.2", "t|TLSv1.3"}


@pytest.mark.parametrize(
    ("wrong", "answer"),
    [
        ({}, "connected"),
        ({"tls": False}, "rejects connection"),
        ({"more": "x"}, 'password authentication failed for user "shop"'),
        ({"user": "postgres"}, "rejects connection"),
        ({"user": "shop_migrate"}, 'password authentication failed for user "shop_migrate"'),
    ],
    ids=["as the service", "without TLS", "with a wrong password", "as superuser", "with another's password"],
)
def test_the_database_lets_the_service_in_and_nobody_else(
    fleet: Lab, database: Host, wrong: dict[str, object], answer: str
) -> None:
    asked = {
        "server": database.name,
        "user": "shop",
        "tls": True,
        "more": "",
        "password_file": "/etc/shop/credentials/database_password",
        **wrong,
    }
    python = "/srv/shop/current/venv/bin/python"
    assert answer in hosts.python(in_group(fleet, "app")[0], "connect.py", interpreter=python, **asked)


def test_the_database_has_no_rule_for_hosts_that_do_not_serve(fleet: Lab, database: Host) -> None:
    rules = hosts.sql(
        database, "SELECT DISTINCT address FROM pg_hba_file_rules WHERE auth_method <> 'reject'"
    )
    assert set(rules.split()) == {host.address for host in in_group(fleet, "app")}


def test_the_private_port_answers_the_edge_alone(fleet: Lab) -> None:
    first, second = in_group(fleet, "app")
    (edge,) = in_group(fleet, "edge")
    ask = {"address": first.address, "path": "/health/live"}
    assert hosts.python(edge, "fetch.py", **ask, shown=True) == 200
    assert hosts.python(edge, "fetch.py", **ask, shown=False) == 403
    assert hosts.python(second, "fetch.py", **ask, shown=True) == 403


def test_nothing_listens_that_should_not(fleet: Lab) -> None:
    for group, ports in {"edge": {"80", "443"}, "app": set(), "db": set(), "logs": {"2514"}}.items():
        for host in in_group(fleet, group):
            private = {
                "app": {(host.address, "8443"), ("127.0.0.1", "9145")},
                "db": {(host.address, "5432")},
            }.get(group, set())
            # The tunnel of whoever sends log lines.
            private |= {("127.0.0.1", "2514")} if group != "logs" else set()
            allowed = {(address, port) for address in ANY for port in {"22"} | ports} | private
            assert hosts.listening(host, "tcp") == allowed, host.name
            assert hosts.listening(host, "udp") == set(), host.name


def test_lines_of_all_app_hosts_are_on_the_collector_as_json(
    fleet: Lab, fleet_site: Site, collector: Host
) -> None:
    for number in range(20):
        fleet_site.get("/api/v1/products", X_Request_ID=f"fleet-{number}")
    for app in in_group(fleet, "app"):
        log = f"/var/log/remote/{app.name}/shop.log"
        hosts.until(
            f"requests that {app.name} answered are in {log}",
            lambda log=log: collector.run(f"grep '\"fleet-[0-9]*\"' {log}").stdout,  # type: ignore[misc]
            seconds=20,
            show=lambda app=app: hosts.journal(app, "rsyslog.service"),  # type: ignore[misc]
        )
        for line in hosts.output(collector, f"cat {log}").splitlines():
            assert isinstance(json.loads(line), dict), line


# What makes a line of a host, by the journal's own socket where only the kernel could.
SAID = {
    "auth": "logger -p authpriv.notice {words}",
    "kernel": r"printf 'MESSAGE={words}\nSYSLOG_FACILITY=0\nSYSLOG_IDENTIFIER=kernel\n' | logger --journald",
    "system": "logger -p daemon.info {words}",
    "nginx-error": "echo {words} >>/var/log/nginx/error.log",
}


def on_collector(collector: Host, words: str, sender: Host, kind: str) -> str:
    """Return which files on the collector have the words, once the sender's of that kind has."""
    hosts.until(
        f"{words} is on the collector",
        lambda: collector.run(f"grep --regexp={words} /var/log/remote/{sender.name}/{kind}.log").stdout,
        seconds=30,
        show=lambda: hosts.journal(sender, "rsyslog.service"),
    )
    return hosts.output(collector, f"grep --recursive --files-with-matches --regexp={words} /var/log/remote")


@pytest.mark.parametrize("kind", SAID)
def test_what_is_said_on_any_host_is_on_the_collector(fleet: Lab, collector: Host, kind: str) -> None:
    senders = [host for host in fleet.hosts.values() if host.name != collector.name]
    for host in in_group(fleet, "edge") + in_group(fleet, "app") if kind == "nginx-error" else senders:
        words = f"seen-{kind}-of-{host.name}"
        hosts.output(host, SAID[kind].format(words=words))
        assert on_collector(collector, words, host, kind) == f"/var/log/remote/{host.name}/{kind}.log"


def test_what_nginx_and_postgresql_log_is_on_the_collector_over_rotations(
    fleet: Lab, fleet_site: Site, collector: Host, database: Host
) -> None:
    (edge,) = in_group(fleet, "edge")
    for words in ("before-a-rotation", "after-a-rotation"):
        fleet_site.get(f"/{words}")
        on_collector(collector, f"/{words}", edge, "nginx-access")
        hosts.sql(database, f"DO $$BEGIN RAISE WARNING 'said-{words}'; END$$")
        assert len(on_collector(collector, f"said-{words}", database, "postgresql").splitlines()) == 1
        hosts.output(edge, "logrotate --force /etc/logrotate.d/nginx")
        hosts.output(database, "logrotate --force /etc/logrotate.d/postgresql-common")


def test_verify_finds_nothing_wrong_and_changes_nothing(fleet: Lab, fleet_playbooks: Playbooks) -> None:
    run = fleet_playbooks.run("playbooks/verify.yml").succeeded()
    run.says(*(f"{name}: nothing is wrong." for name in fleet.hosts))
    assert run.changed == 0


def test_verify_names_the_host_that_does_not_serve(fleet: Lab, fleet_playbooks: Playbooks) -> None:
    app = in_group(fleet, "app")[1]
    unit = hosts.live_unit(app)
    hosts.output(app, f"systemctl stop '{unit}'")
    try:
        run = fleet_playbooks.run("playbooks/verify.yml").refused()
    finally:
        hosts.output(app, f"systemctl start '{unit}'")
    run.says(f"{app.name}: the release {hosts.live_release(app)} is not ready")
    assert [name for name, counts in run.recap.items() if counts["failed"]] == [app.name]
