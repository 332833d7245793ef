"""The hosts of an inventory, all together: the lab as tests and the command line use it."""

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tests.lab import commands, kernel, network, variants
from tests.lab import inventory as inventories
from tests.lab.errors import LabError
from tests.lab.host import Host
from tests.lab.site import Site

Result = TypeVar("Result")


class Lab:
    """The hosts that an inventory folder names.

    hosts has every one of them by name, whether it runs or not; groups the names of each group's hosts.
    """

    def __init__(self, inventory: Path | str = "inventory/lab", variant: Sequence[str] = ()) -> None:
        found = inventories.read(Path(inventory))
        variants.check(variant)
        self.site = Site.of(found, tuple(variant))
        self.groups = found.groups
        self.hosts = {name: Host(name, address, self.site) for name, address in found.addresses.items()}

    def host(self, name: str) -> Host:
        """Return a host by its name; raise LabError when the inventory has none of it."""
        if name not in self.hosts:
            raise LabError(
                f"The inventory {self.site.inventory} has no host {name}, only {', '.join(self.hosts)}; "
                "nothing was changed. Another inventory is named with --inventory."
            )
        return self.hosts[name]

    def address(self, name: str) -> str:
        """Return the address of a host, or of the first host of a group; raise LabError when there is neither."""
        return self.host(next(iter(self.groups.get(name, [])), name)).address

    def up(self, names: Iterable[str] = ()) -> list[Host]:
        """Boot these hosts, or all, and wait until each answers; return those that were down."""
        hosts = self.select(names)
        commands.require_root()
        commands.require()
        self.refuse_variants_of_made_hosts(hosts)
        kernel.make_room()
        self.site.prepare()
        network.sweep(self.site.registry)
        for host in hosts:
            self.site.registry.refuse_strangers(host.address, self.site.inventory)
        with self.site.registry.lock(self.site.network.bridge):
            self.site.ready()
            if not all(host.made for host in hosts):
                self.site.image()
        return [host for host, booted in zip(hosts, together(hosts, Host.up), strict=True) if booted]

    def refuse_variants_of_made_hosts(self, hosts: Sequence[Host]) -> None:
        """Raise LabError when variants are wanted that a first boot alone could bring."""
        if not self.site.variants:
            return
        if not self.site.platform.cloud:
            raise LabError(
                f"Variants are made by cloud-init, and these hosts boot {self.site.platform.about}; "
                "nothing was changed. Name an inventory whose lab_platform is ubuntu-22."
            )
        made = [host.name for host in hosts if host.made]
        if made:
            raise LabError(
                f"{', '.join(made)} had a first boot already, and variants come with it; nothing was changed. "
                f"Type first: python -m tests.lab down --inventory {self.site.inventory}"
            )

    def down(self, names: Iterable[str] = ()) -> None:
        """Crash and delete these hosts, or all that the inventory ever had, and the network when nobody uses it."""
        chosen = set(names)
        commands.require_root()
        self.site.registry.prepare()
        together(self.select(chosen) if chosen else self.all_ever(), Host.down)
        registry, bridge = self.site.registry, self.site.network.bridge
        with registry.lock(bridge):
            if not self.site.network.used():
                self.site.network.remove()
            if self.site.hosts.exists():
                self.site.write_known_hosts()
        if self.site.hosts.exists() and not chosen:
            shutil.rmtree(self.site.hosts)
        network.sweep(registry)

    def image(self) -> Path:
        """Return the folder of the hosts' image, built through the package cache when this machine has none."""
        commands.require_root()
        commands.require()
        self.site.prepare()
        with self.site.registry.lock(self.site.network.bridge):
            try:
                self.site.ready()
                return self.site.image()
            finally:
                if not self.site.network.used():
                    self.site.network.remove()

    def select(self, names: Iterable[str]) -> list[Host]:
        """Return the named hosts, all when none is named."""
        return [self.host(name) for name in names] or list(self.hosts.values())

    def all_ever(self) -> list[Host]:
        """Return the inventory's hosts, and those it named once and that still run or have files."""
        hosts = {host.address: host for host in self.hosts.values()}
        for path in self.site.hosts.glob("*/host.json"):
            address = json.loads(path.read_text())["address"]
            hosts.setdefault(address, Host(path.parent.name, address, self.site))
        for running in self.site.registry.running():
            if running.inventory == self.site.inventory:
                hosts.setdefault(running.address, Host(running.name, running.address, self.site))
        return list(hosts.values())


def together(hosts: Sequence[Host], act: Callable[[Host], Result]) -> list[Result]:
    """Do something to every host at once; when it fails on some, raise one LabError that has them all."""
    with ThreadPoolExecutor(max_workers=len(hosts) or 1) as pool:
        tasks = [pool.submit(act, host) for host in hosts]
    failures = [task.exception() for task in tasks]
    unexpected = [failure for failure in failures if failure and not isinstance(failure, LabError)]
    if unexpected:
        raise unexpected[0]
    if any(failures):
        raise LabError("\n".join(str(failure) for failure in failures if failure))
    return [task.result() for task in tasks]
