"""The network of the hosts: one bridge, the controller's address on it, and the package cache that listens there."""

import ipaddress
import json
import os
import shutil
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.lab import cache, cgroups, image, process, ubuntu
from tests.lab.commands import run
from tests.lab.errors import LabError
from tests.lab.mirror import Mirrors
from tests.lab.platforms import DEBIAN, UBUNTU
from tests.lab.registry import Registry


@dataclass(frozen=True)
class Network:
    """The bridge of one /24, known by the controller's address on it."""

    address: str
    port: int
    registry: Registry

    @property
    def bridge(self) -> str:
        """The bridge's name, at most 15 characters as the kernel wants it."""
        return f"slab-{int(ipaddress.ip_address(self.address)):08x}"

    @property
    def subnet(self) -> ipaddress.IPv4Network:
        """The addresses that hosts may have."""
        return ipaddress.IPv4Network(f"{self.address}/24", strict=False)

    @property
    def folder(self) -> Path:
        """What the running network keeps: the cache's configuration and record, the link to the archive."""
        return self.registry.bridges / self.bridge

    @property
    def url(self) -> str:
        """Where the package cache answers."""
        return f"http://{self.address}:{self.port}"

    def ensure(self, mirrors: Mirrors) -> None:
        """Make the bridge and start the package cache, whichever is not there. The caller holds the bridge's lock."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ensure_bridge()
        self.ensure_cache(mirrors)

    def ensure_bridge(self) -> None:
        """Make the bridge, give it the controller's address and bring it up."""
        addresses = json.loads(run(["ip", "-json", "-4", "address"], purpose="list this machine's addresses"))
        for link in addresses:
            for known in link["addr_info"]:
                taken = ipaddress.IPv4Network(f"{known['local']}/{known['prefixlen']}", strict=False)
                if link["ifname"] != self.bridge and taken.overlaps(self.subnet):
                    raise LabError(
                        f"The lab's network {self.subnet} overlaps {taken}, which this machine has on "
                        f"{link['ifname']}; nothing was changed. Choose other addresses in the inventory: "
                        "lab_bridge_address and each host's ansible_host."
                    )
        purpose = f"make the bridge {self.bridge}"
        if not Path(f"/sys/class/net/{self.bridge}").exists():
            # A fixed hardware address: by default a bridge's changes as hosts come and go.
            hardware = ":".join(
                f"{byte:02x}" for byte in b"\x02\x53" + ipaddress.ip_address(self.address).packed
            )
            run(["ip", "link", "add", self.bridge, "address", hardware, "type", "bridge"], purpose=purpose)
        run(["ip", "address", "replace", f"{self.address}/24", "dev", self.bridge], purpose=purpose)
        run(["ip", "link", "set", self.bridge, "up"], purpose=purpose)

    def ensure_cache(self, mirrors: Mirrors) -> None:
        """Run apt-cacher-ng on the bridge with a configuration for these mirrors."""
        record = self.folder / "apt-cacher-ng.json"
        log = self.folder / "apt-cacher-ng.log"
        configuration = self.folder / "apt-cacher-ng" / "acng.conf"
        text = self.cache_configuration(mirrors)
        if record.exists():
            identity, about = process.load(record)
            if process.alive(identity) and about["configuration"] == text and self.answers():
                return
            process.end(identity)
        if self.answers():
            raise LabError(
                f"Something that is not the lab's already listens on {self.address}:{self.port}, where its package "
                f"cache should; no host was started. See what: ss -ltnp 'sport = :{self.port}'. "
                "End it, or change lab_packages_port in the inventory."
            )
        configuration.parent.mkdir(exist_ok=True)
        configuration.write_text(text)
        log.write_text("")
        identity = process.start(
            ["apt-cacher-ng", "-c", str(configuration.parent)],
            record=record,
            about={"configuration": text},
            log=log,
        )
        deadline = time.monotonic() + 10
        while not self.answers():
            if not process.alive(identity) or time.monotonic() > deadline:
                process.end(identity)
                raise LabError(
                    f"The package cache did not start on {self.address}:{self.port}; no host was started. "
                    f"Its log {log} ends with\n{process.tail(log)}"
                )
            time.sleep(0.02)

    def cache_configuration(self, mirrors: Mirrors) -> str:
        """Return the configuration of apt-cacher-ng."""
        # Two bridges can be up at once, and two caches must not write into one folder.
        store = cache.folder() / "packages" / self.address
        (store / "log").mkdir(parents=True, exist_ok=True)
        jammy = ubuntu.upstream(image.architecture())
        lines = [
            "ForeGround: 1",
            f"BindAddress: {self.address}",
            f"Port: {self.port}",
            f"CacheDir: {store}",
            f"LogDir: {store / 'log'}",
            "SupportDir: /usr/lib/apt-cacher-ng",
            "ForceManaged: 1",
            f"Remap-{DEBIAN.archive}: /{DEBIAN.archive} ; {mirrors.debian}",
            f"Remap-{UBUNTU.archive}: /{UBUNTU.archive} ; {jammy.archive}",
            f"Remap-{UBUNTU.security}: /{UBUNTU.security} ; {jammy.security}",
            f"LocalDirs: archive {self.folder / 'archive'}",
        ]
        if mirrors.security:
            lines.append(f"Remap-{DEBIAN.security}: /{DEBIAN.security} ; {mirrors.security}")
        if mirrors.proxy:
            lines.append(f"Proxy: {mirrors.proxy}")
        return "\n".join(lines) + "\n"

    def answers(self) -> bool:
        """Say whether something listens on the cache's address and port."""
        with suppress(OSError), socket.create_connection((self.address, self.port), timeout=1):
            return True
        return False

    def publish(self, repository: Path) -> None:
        """Serve this apt archive as <url>/archive, in place of the one served before."""
        link = self.folder / "archive"
        fresh = self.folder / "archive.new"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(repository)
        os.replace(fresh, link)

    def translate(self, machine: str, address: str, own: str) -> None:
        """Let this machine reach a host, which has its own address alone, at another: as behind a cloud's NAT."""
        self.end_translation(machine)
        run(["nft", translation(machine, address, own)], purpose=f"translate {address} to {own}")

    def end_translation(self, machine: str) -> None:
        """Take back what a host's address was translated by, if it was."""
        table = f"ip {table_of(machine)}"
        run(["nft", f"add table {table}; delete table {table}"], purpose=f"end the translation for {machine}")

    def used(self) -> bool:
        """Say whether any host of this machine runs on the bridge."""
        return used(self.registry, self.bridge)

    def remove(self) -> None:
        """End the package cache and remove the bridge. The caller holds the bridge's lock."""
        remove(self.registry, self.bridge)


def translation(machine: str, address: str, own: str) -> str:
    """Return what nft is told, so that what this machine sends to an address goes to a host's own."""
    table = f"ip {table_of(machine)}"
    chain = f"add chain {table} out {{ type nat hook output priority -100; }}"
    return f"add table {table}; {chain}; add rule {table} out ip daddr {address} dnat to {own}"


def table_of(machine: str) -> str:
    """Return the name of the table that translates to a host, as nft wants names."""
    return machine.replace("-", "_")


def used(registry: Registry, bridge: str) -> bool:
    """Say whether any host of this machine runs on a bridge."""
    return any(host.bridge == bridge for host in registry.running())


def remove(registry: Registry, bridge: str) -> None:
    """End what runs on a bridge and remove it, whoever made it. The caller holds the bridge's lock."""
    record = registry.bridges / bridge / "apt-cacher-ng.json"
    if record.exists():
        process.end(process.load(record)[0])
    if Path(f"/sys/class/net/{bridge}").exists():
        run(["ip", "link", "delete", bridge], purpose=f"remove the bridge {bridge}")
    shutil.rmtree(registry.bridges / bridge, ignore_errors=True)


def sweep(registry: Registry) -> None:
    """Clean what crashed labs of any checkout left: hosts of deleted checkouts, records, bridges without a host."""
    for host in registry.running():
        if not host.inventory.is_dir():
            process.end(host.supervisor, seconds=1)
    for host in registry.ended():
        with registry.lock_if_free(f"host-{host.address}") as free:
            if free and registry.running_at(host.address) is None:
                registry.record(host.address).unlink(missing_ok=True)
                cgroups.remove(host.machine)
    for folder in registry.bridges.iterdir():
        with registry.lock_if_free(folder.name) as free:
            # Asked under the lock: a host that boots meanwhile has it.
            if free and not used(registry, folder.name):
                remove(registry, folder.name)
