"""Which hosts an Ansible inventory names: read by Ansible, so that nothing is typed twice."""

import ipaddress
import json
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.commands import run
from tests.lab.errors import LabError
from tests.lab.platforms import DEBIAN
from tests.lab.ssh import SSH_PORT, Login


@dataclass(frozen=True)
class Inventory:
    """An inventory's folder, the addresses of its hosts by name, and the controller's end of their network.

    groups has the names of the hosts in each group, those of the groups below it too. login: how they are reached.
    platform is what they boot. own: by name, the address that a host has itself, of those that are behind NAT.
    """

    folder: Path
    addresses: dict[str, str]
    groups: dict[str, list[str]]
    bridge_address: str
    packages_port: int
    login: Login = field(default_factory=Login)
    platform: str = DEBIAN.name
    own: dict[str, str] = field(default_factory=dict)


def locate(folder: Path) -> Path:
    """Return the inventory's absolute folder; raise LabError when it is not one of a checkout."""
    absolute = folder.absolute()
    if not absolute.is_dir():
        raise LabError(
            f"There is no inventory folder {absolute}; nothing was changed. Name one with --inventory."
        )
    return absolute.resolve()


def read(folder: Path) -> Inventory:
    """Read the hosts of an inventory folder through ansible-inventory."""
    folder = locate(folder)
    beside = Path(sys.executable).with_name("ansible-inventory")
    program = str(beside) if beside.exists() else shutil.which("ansible-inventory")
    if program is None:
        raise LabError(
            "The lab reads its hosts with ansible-inventory, which is neither beside this Python nor on PATH; "
            "nothing was changed. Type: make .venv/installed, and run the lab with .venv/bin/python."
        )
    listing = run(
        [program, "-i", folder, "--list"],
        purpose=f"read the inventory {folder}",
        environment={"ANSIBLE_LOCALHOST_WARNING": "False", "HOME": os.environ.get("HOME", "/")},
    )
    return parse(folder, listing)


def parse(folder: Path, listing: str) -> Inventory:
    """Return what the output of ansible-inventory --list says; raise LabError for what the lab cannot build."""
    listed = json.loads(listing)
    variables = listed.pop("_meta")["hostvars"]
    if not variables:
        raise LabError(f"The inventory {folder} names no host; nothing was changed.")
    addresses: dict[str, str] = {}
    for name, of_host in sorted(variables.items()):
        if "ansible_host" not in of_host:
            raise LabError(
                f"The host {name} in {folder} has no ansible_host, so the lab cannot give it an address; "
                "nothing was changed. Add one from the network of lab_bridge_address."
            )
        address = str(of_host["ansible_host"])
        if address in addresses.values():
            raise LabError(
                f"Two hosts in {folder} have the address {address}; nothing was changed. Give {name} another."
            )
        addresses[name] = address
    # Both are in group_vars/all, so any host has them.
    of_all = next(iter(variables.values()))
    if "lab_bridge_address" not in of_all or "lab_packages_port" not in of_all:
        raise LabError(
            f"{folder} is not an inventory of lab hosts: it sets no lab_bridge_address and lab_packages_port; "
            "nothing was changed. inventory/lab/group_vars/all/connection.yml has both."
        )
    groups = {name: members(listed, name) for name in listed}
    found = Inventory(
        folder=folder,
        addresses=addresses,
        groups=groups,
        bridge_address=str(of_all["lab_bridge_address"]),
        packages_port=int(of_all["lab_packages_port"]),
        login=Login(
            user=str(of_all.get("ansible_user", "root")),
            password=str(of_all.get("ansible_become_password", "")),
            port=int(of_all.get("ansible_port", SSH_PORT)),
            jump=str(of_all.get("lab_jump_host", "")),
        ),
        own={
            name: str(said["lab_own_address"])
            for name, said in variables.items()
            if "lab_own_address" in said
        },
        platform=os.environ.get("SLIPWAY_LAB_PLATFORM") or str(of_all.get("lab_platform", DEBIAN.name)),
    )
    check_addresses(found)
    return found


def members(listed: dict[str, Any], group: str) -> list[str]:
    """Return the hosts of a group and of every group below it, in the inventory's order."""
    # Ansible names the group "ungrouped" as a child of "all" without listing it when it is empty.
    content = listed.get(group, {})
    below = [host for child in content.get("children", []) for host in members(listed, child)]
    return list(dict.fromkeys([*content.get("hosts", []), *below]))


def check_addresses(inventory: Inventory) -> None:
    """Raise LabError for an address that is not on the network of the bridge, or not private."""
    try:
        subnet = ipaddress.IPv4Network(f"{inventory.bridge_address}/24", strict=False)
        for name, address in [*inventory.addresses.items(), *inventory.own.items()]:
            if ipaddress.IPv4Address(address) not in subnet or address == inventory.bridge_address:
                raise LabError(
                    f"The host {name} in {inventory.folder} has the address {address}, which is not one for a host of "
                    f"the lab's network {subnet} (the controller is {inventory.bridge_address}); nothing was changed."
                )
    except ipaddress.AddressValueError as error:
        raise LabError(
            f"An address in {inventory.folder} is not one: {error}; nothing was changed."
        ) from error
    if not subnet.is_private:
        raise LabError(
            f"The lab's network {subnet} is not a private one (10/8, 172.16/12, 192.168/16); nothing was changed."
        )
