"""The lab takes its hosts from an inventory as Ansible reads it, and refuses with a sentence what it cannot build."""

from pathlib import Path

import pytest

from tests.lab import inventory
from tests.lab.errors import LabError
from tests.lab.platforms import DEBIAN, UBUNTU, Platform
from tests.lab.ssh import Login

ROOT = Path(__file__).resolve().parents[3]


def write(
    tmp_path: Path, hosts: str, variables: str = "lab_bridge_address: 10.9.8.1\nlab_packages_port: 3242\n"
) -> Path:
    folder = tmp_path / "inventory" / "some"
    (folder / "group_vars/all").mkdir(parents=True)
    (folder / "group_vars/all/connection.yml").write_text(variables)
    (folder / "hosts.yml").write_text(hosts)
    return folder


def test_the_lab_is_one_host_in_every_group() -> None:
    found = inventory.read(ROOT / "inventory/lab")
    assert found.addresses == {"shop-1": "10.83.7.11"}
    assert all(found.groups[group] == ["shop-1"] for group in ("db", "app", "edge", "logs"))


def test_the_fleet_has_a_host_for_each_task_and_two_for_the_service() -> None:
    found = inventory.read(ROOT / "inventory/fleet")
    assert found.groups["edge"] == ["edge-1"]
    assert found.groups["app"] == ["app-1", "app-2"]
    assert found.groups["db"] == ["db-1"]
    assert found.groups["logs"] == ["logs-1"]


def test_lab_and_fleet_can_be_up_at_once() -> None:
    lab, fleet = inventory.read(ROOT / "inventory/lab"), inventory.read(ROOT / "inventory/fleet")
    assert (lab.bridge_address, lab.packages_port) == (fleet.bridge_address, fleet.packages_port)
    assert not set(lab.addresses.values()) & set(fleet.addresses.values())


@pytest.mark.parametrize(
    ("name", "platform", "user"),
    [("lab", UBUNTU, "ubuntu"), ("fleet", UBUNTU, "ubuntu"), ("debian", DEBIAN, "root")],
)
def test_hosts_are_what_a_cloud_gives_and_debian_is_asked_for(
    name: str, platform: Platform, user: str
) -> None:
    found = inventory.read(ROOT / "inventory" / name)
    assert (found.platform, found.login) == (platform.name, Login(user))


def test_the_inventory_says_by_which_way_its_hosts_are_reached(tmp_path: Path) -> None:
    more = (
        "ansible_user: ada\nansible_become_password: x y\nansible_port: 2222\nlab_jump_host: root@10.9.8.9\n"
    )
    variables = f"lab_bridge_address: 10.9.8.1\nlab_packages_port: 3242\n{more}"
    hosts = (
        "db: {hosts: {a: {ansible_host: 10.9.8.2, lab_own_address: 10.9.8.3}, b: {ansible_host: 10.9.8.4}}}"
    )
    found = inventory.read(write(tmp_path, hosts, variables))
    assert found.login == Login("ada", "x y", 2222, "root@10.9.8.9")
    assert found.own == {"a": "10.9.8.3"}


def test_a_group_has_the_hosts_of_the_groups_below_it(tmp_path: Path) -> None:
    folder = write(tmp_path, "app: {children: {blue: {hosts: {a: {ansible_host: 10.9.8.2}}}}}")
    assert inventory.read(folder).groups["app"] == ["a"]


@pytest.mark.parametrize(
    ("hosts", "sentence"),
    [
        ("db: {hosts: {a: }}", "The host a in .* has no ansible_host"),
        ("db: {hosts: }", "names no host"),
        (
            "db: {hosts: {a: {ansible_host: 10.9.8.2}, b: {ansible_host: 10.9.8.2}}}",
            "have the address 10.9.8.2",
        ),
        ("db: {hosts: {a: {ansible_host: 10.9.7.2}}}", "not one for a host of the lab's network 10.9.8.0/24"),
        ("db: {hosts: {a: {ansible_host: 10.9.8.1}}}", r"the controller is 10\.9\.8\.1"),
        ("db: {hosts: {a: {ansible_host: a.example}}}", "a.example"),
        ("db: {hosts: {a: {ansible_host: 10.9.8.2}", "Could not read the inventory"),
    ],
)
def test_an_inventory_that_cannot_be_built_is_refused(tmp_path: Path, hosts: str, sentence: str) -> None:
    with pytest.raises(LabError, match=sentence):
        inventory.read(write(tmp_path, hosts))


def test_an_inventory_of_real_hosts_is_refused() -> None:
    with pytest.raises(LabError, match="not an inventory of lab hosts"):
        inventory.read(ROOT / "inventory/staging")


def test_a_public_network_is_refused(tmp_path: Path) -> None:
    variables = "lab_bridge_address: 8.8.8.1\nlab_packages_port: 3242\n"
    with pytest.raises(LabError, match="not a private one"):
        inventory.read(write(tmp_path, "db: {hosts: {a: {ansible_host: 8.8.8.8}}}", variables))


def test_a_missing_inventory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no inventory folder"):
        inventory.read(tmp_path / "absent")
