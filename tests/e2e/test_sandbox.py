"""The service's process: what it may not do, whatever it is made to."""

import re

import pytest

from tests.e2e import hosts
from tests.lab.host import Host

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

EXPOSURE_AT_MOST = 1.5


@pytest.fixture
def process(host: Host) -> int:
    """The first process of the live release."""
    return int(hosts.output(host, f"systemctl show --property=MainPID --value '{hosts.live_unit(host)}'"))


def test_systemd_finds_the_service_little_exposed(host: Host) -> None:
    report = hosts.output(host, f"systemd-analyze security --no-pager '{hosts.live_unit(host)}'")
    exposure = re.search(r"Overall exposure level for .*: ([0-9.]+)", report)
    assert exposure, report
    print(exposure[0])
    assert float(exposure[1]) <= EXPOSURE_AT_MOST, report


def test_every_process_of_the_service_is_confined(host: Host, process: int) -> None:
    group = hosts.output(host, f"systemctl show --property=ControlGroup --value '{hosts.live_unit(host)}'")
    owners = hosts.output(host, "ps -e -o user=,pid=,args= | grep '^shop '").splitlines()
    assert len(owners) >= 3, owners
    for line in owners:
        status = hosts.output(host, f"cat /proc/{line.split()[1]}/status /proc/{line.split()[1]}/cgroup")
        facts = dict(re.findall(r"^(\w+):\s+(.*)$", status, re.MULTILINE))
        assert facts["NoNewPrivs"] == "1", line
        assert facts["Seccomp"] == "2", line
        assert {facts[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}, line
        assert group in status, f"{line} is outside the unit"
    assert str(process) in {line.split()[1] for line in owners}


@pytest.mark.parametrize(
    "folder", ["/srv/shop/releases", "/srv/shop/current/", "/etc", "/usr/local", "/var/log/shop"]
)
def test_not_even_root_writes_where_the_service_lives(host: Host, process: int, folder: str) -> None:
    said = hosts.refused(host, f"nsenter --target={process} --mount touch {folder}/written-by-a-test")
    assert "Read-only file system" in said


def inside(process: int, command: str) -> str:
    """Return a shell command that runs another as the service's user, with the service's view of the files."""
    return (
        f"nsenter --target={process} --mount setpriv --reuid=shop --regid=shop-http --clear-groups {command}"
    )


def test_the_service_writes_nowhere_that_lasts(host: Host, process: int) -> None:
    search = r"find / -writable \( -type d -o -type f \) -not -path '/proc/*' 2>/dev/null"
    found = set(host.run(f"cd / && {inside(process, search)}").stdout.split())
    own = f"/run/shop/{hosts.live_release(host)}"
    assert own in found
    # All are in memory; the release's own (its counters are there) and the first two are gone with the unit.
    others = {path for path in found if path != own and not path.startswith(f"{own}/metrics")}
    assert others <= {"/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run/lock"}


def test_the_service_has_no_network_of_its_own(host: Host, process: int) -> None:
    links = hosts.output(host, f"nsenter --target={process} --net ip -brief link").splitlines()
    assert [line.split()[0] for line in links] == ["lo"]


def test_the_service_sees_no_foreign_process(host: Host, process: int) -> None:
    seen = hosts.output(host, inside(process, "sh -c 'cat /proc/[0-9]*/comm 2>/dev/null'")).split()
    assert "start" in seen
    assert not {"systemd", "nginx", "sshd", "postgres"} & set(seen)
