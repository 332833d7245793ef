"""One host that is everything and a fleet of five: booted from nothing, configured once, gone at the end.

SLIPWAY_E2E_LAB, SLIPWAY_E2E_FLEET and SLIPWAY_E2E_DEBIAN name other inventories than inventory/lab, inventory/fleet
and inventory/debian. With SLIPWAY_E2E_KEEP=1 the hosts stay, and the next run begins where they were serving: for
working on one test. With SLIPWAY_E2E_KEEP=as-is it takes them as it finds them, without a boot.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import ROOT, Playbooks, Run
from tests.e2e.host_faults import page
from tests.e2e.host_faults.table import named_by
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab

if TYPE_CHECKING:
    from tests.e2e.watched import Watched

AS_IS = os.environ.get("SLIPWAY_E2E_KEEP") == "as-is"
KEPT = AS_IS or os.environ.get("SLIPWAY_E2E_KEEP") == "1"
# Seconds from the first answer of sshd: a host that has booted serves without a hand.
BOOT_TO_SERVING = 60
# What a run that changes nothing leaves as it is.
CONFIGURATION = ("/etc", "/usr/local", "/home", "/srv", "/root", "/var/lib/slipway", "/var/lib/dpkg/status")
# All that shells, SQL, YAML and files of settings make something of.
HOSTILE = """'";$(touch /hostile)`id`\\\\n %s %% #ü€ &|<>*? !{"""


# Before pytest chooses by marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark on which hosts a test is and whether it spoils them, so that these can run side by side."""
    # A bare host is looked at before it is anything else.
    items.sort(key=lambda item: "test_bare_host" not in item.nodeid)
    for item in items:
        for lane in ("fleet", "debian", "spoilt"):
            if lane in getattr(item, "fixturenames", ()):
                item.add_marker(getattr(pytest.mark, lane))
        if item.get_closest_marker("share"):
            whole = next(
                (each for each in ("variants", "faults") if item.get_closest_marker(each)), "rollouts"
            )
            item.user_properties.append(("share", whole))
        for name in named_by(item.nodeid):
            item.add_marker(pytest.mark.faults)
            item.extra_keyword_matches.add(name)
            item.user_properties.append(("fault", name))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember how a test ended that shows a fault of docs/faults-on-hosts.md."""
    for name in [str(value) for kind, value in report.user_properties if kind == "fault"]:
        if isinstance(report.longrepr, tuple):
            page.keep(name, {"skipped": report.longrepr[2].removeprefix("Skipped: ")})
        elif report.when == "call" or report.failed:
            page.count(name, report.nodeid, report.passed)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what became of each variant of a host."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    said = [dict(report.user_properties) for report in reports if report.when == "call"]
    rows = [(each["variant"], each.get("ended", "FAILED")) for each in said if "variant" in each]
    if rows:
        terminalreporter.section("a host as it comes, and what site.yml made of it")
    for variant, ended in rows:
        terminalreporter.line(f"{variant:30} {ended}")


@dataclass(frozen=True)
class Bare:
    """The host after its first boot, and the files it then had."""

    host: Host
    files: dict[str, str]


@dataclass(frozen=True)
class Rehearsal:
    """A run in check mode on the bare host, and what it changed there, a line for each path."""

    run: Run
    changes: str


def boot(variable: str, default: str) -> Iterator[Lab]:
    """Boot the hosts of an inventory from nothing; end them with the tests."""
    lab = Lab(ROOT / os.environ.get(variable, default))
    if not KEPT:
        lab.down()
    lab.up()
    yield lab
    if not KEPT:
        lab.down()


def site_of(lab: Lab) -> Site:
    """Return the public site of an inventory, whose authority the first run makes."""
    name = lab.site.inventory.name
    return Site(lab.address("edge"), lab.site.state / "generated" / name / "pki/ca.pem")


def secrets_of(lab: Lab) -> dict[str, str]:
    """Return the secrets that the lab made for an inventory on its first run, by name."""
    folder = lab.site.state / "generated" / lab.site.inventory.name
    names = ("secret_key", "database_password", "migrate_database_password")
    return {name: (folder / name).read_text().split()[0] for name in names}


def serving(host: Host, site: Site) -> None:
    """Wait until the service answers; fail with the journal when it does not."""
    hosts.until(
        f"{host.name} serves",
        site.ready,
        seconds=BOOT_TO_SERVING,
        show=lambda: f"{host.run('systemctl --failed; slipway status').stdout}\n{hosts.journal(host)}",
    )


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The lab of one host."""
    yield from boot("SLIPWAY_E2E_LAB", "inventory/lab")


@pytest.fixture(scope="session")
def playbooks(lab: Lab) -> Playbooks:
    """The playbooks on the one host."""
    return Playbooks(lab.site.inventory)


@pytest.fixture(scope="session")
def site(lab: Lab) -> Site:
    """The one host's public site."""
    return site_of(lab)


@pytest.fixture(scope="session")
def bare(lab: Lab) -> Bare:
    """The one host, as it is after its first boot, which a run that comes earlier waits for."""
    (host,) = lab.hosts.values()
    if "bare" in host.snapshots():
        host.restore("bare")
    else:
        hosts.made(host)
        host.snapshot("bare")
    return Bare(host, hosts.files(host, *CONFIGURATION))


@pytest.fixture(scope="session")
def rehearsal(bare: Bare, playbooks: Playbooks) -> Rehearsal:
    """site.yml in check mode on the bare host."""
    run = playbooks.run("site.yml", "--check", "--diff")
    return Rehearsal(run, hosts.differences(bare.files, hosts.files(bare.host, *CONFIGURATION)))


@pytest.fixture(scope="session")
def first_run(bare: Bare, playbooks: Playbooks) -> Run:
    """site.yml on the bare host."""
    return playbooks.run("site.yml").succeeded()


@pytest.fixture(scope="session")
def second_run(first_run: Run, playbooks: Playbooks) -> Run:
    """site.yml on the host it has just configured."""
    return playbooks.run("site.yml").succeeded()


@pytest.fixture(scope="session")
def configured(lab: Lab, site: Site, request: pytest.FixtureRequest) -> Host:
    """The one host, serving, with a snapshot of that."""
    (host,) = lab.hosts.values()
    if AS_IS:
        return host
    if "serving" in host.snapshots():
        host.restore("serving")
    else:
        request.getfixturevalue("first_run")
        host.snapshot("serving")
    serving(host, site)
    return host


@pytest.fixture
def host(configured: Host) -> Host:
    """The serving host, for a test that leaves it as it found it."""
    return configured


@pytest.fixture(scope="module")
def spoilt(configured: Host, site: Site) -> Iterator[Host]:
    """The serving host, for tests of one module that spoil it; it is put back after the last."""
    yield configured
    if not AS_IS:
        configured.restore("serving")
        serving(configured, site)


@pytest.fixture(scope="session")
def debian() -> Iterator[Lab]:
    """The lab of one host of the second platform."""
    yield from boot("SLIPWAY_E2E_DEBIAN", "inventory/debian")


@pytest.fixture(scope="session")
def debian_life(debian: Lab) -> str:
    """The life of that host, from bare to its reboot; it serves from then on."""
    # life.py needs what is above.
    from tests.e2e.life import lives

    return lives(debian)


@pytest.fixture(scope="session")
def watched() -> Iterator["Watched"]:
    """Two hosts that serve, the one that watches them, and who is told."""
    from tests.e2e.watched import watching

    yield from watching()


@pytest.fixture(scope="session")
def fleet() -> Iterator[Lab]:
    """The lab of five hosts: an edge, two for the service, a database, a collector of logs."""
    yield from boot("SLIPWAY_E2E_FLEET", "inventory/fleet")


@pytest.fixture(scope="session")
def fleet_playbooks(fleet: Lab) -> Playbooks:
    """The playbooks on the fleet."""
    return Playbooks(fleet.site.inventory)


@pytest.fixture(scope="session")
def fleet_secrets() -> dict[str, str]:
    """Passwords that would be found out wherever they are not quoted well; each begins with a word of ten letters."""
    return {
        "vault_database_password": f"Marker4Q8r{HOSTILE}shop",
        "vault_migrate_database_password": f"Marker7T2w{HOSTILE}migrate",
    }


@pytest.fixture(scope="session")
def fleet_run(fleet: Lab, fleet_playbooks: Playbooks, fleet_secrets: dict[str, str]) -> Run:
    """site.yml on five bare hosts, saying all there is to say: no secret may be in it."""
    late = fleet.host(fleet.groups["app"][-1])
    if "bare" not in late.snapshots():
        hosts.made(late)
        late.snapshot("bare")
    return fleet_playbooks.run("site.yml", "-vvv", "--diff", **fleet_secrets).succeeded()


@pytest.fixture
def fleet_site(fleet: Lab, fleet_run: Run) -> Site:
    """The fleet's public site, serving."""
    return site_of(fleet)
