"""An Ubuntu host is as a cloud gives it, while it is being made and after."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.lab import cloud, image, ubuntu
from tests.lab.conftest import end_all_in, make_inventory
from tests.lab.host import Host
from tests.lab.lab import Lab
from tests.lab.platforms import UBUNTU

pytestmark = pytest.mark.lab


def text(host: Host, command: str) -> str:
    return host.run(command, check=True).stdout.strip()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, str]]:
    """A host the moment its login works, and what it then said of its making."""
    archive = ubuntu.upstream(image.architecture()).archive
    if not ubuntu.reachable(archive):
        pytest.skip(f"this machine does not reach {archive}")
    folder = tmp_path_factory.mktemp("cloud")
    inventory = make_inventory(folder, {"cloud-1": 21}, lab_platform=UBUNTU.name, ansible_user="ubuntu")
    lab = Lab(inventory)
    lab.up()
    host = lab.host("cloud-1")
    said = text(host, "cloud-init status | head -n 1")
    yield host, said
    end_all_in(folder)


def test_the_first_boot_goes_on_when_the_login_works_and_upgrades_follow_it(made: tuple[Host, str]) -> None:
    host, said = made
    assert said == "status: running"
    host.run("cloud-init status --wait")
    state = "systemctl show --value --property=ActiveState apt-daily-upgrade.service"
    assert text(host, state) == "activating"
    refused = host.run("apt-get install --yes hello")
    assert "lock" in refused.stderr, refused
    host.run(
        f"for i in $(seq {3 * cloud.HOLDS_DPKG}); do [ $({state}) = inactive ] && exit; sleep 1; done; exit 1",
        check=True,
    )


def test_a_user_with_sudo_logs_in_and_root_does_not(made: tuple[Host, str]) -> None:
    host, _ = made
    access = host.site.access
    login = subprocess.run(
        [*access.command(host.address), "id -un; sudo -n id -un"], capture_output=True, text=True
    )
    assert login.stdout.split() == ["ubuntu", "root"]
    as_root = subprocess.run(
        [*access.command(host.address, user="root"), "id -un"], capture_output=True, text=True
    )
    assert as_root.stdout.strip() != "root", as_root


def test_it_is_a_whole_ubuntu_with_what_clouds_add(made: tuple[Host, str]) -> None:
    host, _ = made
    host.run("cloud-init status --wait")
    assert text(host, ". /etc/os-release; echo $ID $VERSION_ID") == "ubuntu 22.04"
    assert text(host, "python3 -c 'import apt, sys; print(sys.version_info[:2])'") == "(3, 10)"
    assert text(host, "systemctl is-system-running --wait") == "running", text(host, "systemctl --failed")
    assert text(host, "ps -o user= -C rsyslogd") == "syslog"
    assert text(host, "ufw status") == "Status: inactive"
    assert text(host, "systemctl is-active chrony") == "active"
    assert "manage_etc_hosts" in text(host, "cat /etc/hosts")
    assert host.site.network.url in text(host, "cat /etc/apt/sources.list")
    assert (
        text(host, "perl -e 'do shift; print $nrconf{restart}' /etc/needrestart/conf.d/50-automatic.conf")
        == "a"
    )


def test_it_has_a_file_system_that_is_full_by_its_nature(made: tuple[Host, str]) -> None:
    host, _ = made
    assert text(host, "df --output=fstype,pcent /snap/core20/1 | tail -n 1").split() == ["squashfs", "100%"]
