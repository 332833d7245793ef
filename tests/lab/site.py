"""The lab of one inventory in one checkout: where its state is, its network, its keys."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tests.lab import archive, image, later, mirror, platforms, ubuntu
from tests.lab.commands import run
from tests.lab.errors import LabError
from tests.lab.inventory import Inventory
from tests.lab.mirror import Mirrors
from tests.lab.network import Network
from tests.lab.platforms import Platform
from tests.lab.registry import Registry
from tests.lab.ssh import SSH_PORT, Access, Login, known_as


@dataclass(frozen=True)
class Site:
    """What all hosts of an inventory share."""

    inventory: Path
    network: Network
    login: Login
    wanted: Platform
    registry: Registry = field(default_factory=Registry)
    # What hosts that are made now come with beyond the platform's own.
    variants: tuple[str, ...] = ()
    # By name, the address that a host behind NAT has itself.
    own: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, inventory: Inventory, variants: tuple[str, ...] = ()) -> "Site":
        """Return the site of an inventory."""
        registry = Registry()
        return cls(
            inventory.folder,
            Network(inventory.bridge_address, inventory.packages_port, registry),
            inventory.login,
            platforms.named(inventory.platform),
            registry,
            variants,
            inventory.own,
        )

    @property
    def state(self) -> Path:
        """The checkout's folder for all that the lab keeps, ignored by git."""
        return self.inventory.parent.parent / ".lab"

    @property
    def archive_key(self) -> Path:
        """The key that the lab's own archive is signed with, once a host of the checkout needed it."""
        return self.state / "archive-key.asc"

    @property
    def hosts(self) -> Path:
        """The folder of this inventory's hosts; another inventory may use the same names."""
        return self.state / "hosts" / self.inventory.name

    @property
    def access(self) -> Access:
        """How to reach the hosts."""
        return Access(self.state / "ssh", self.registry.control, self.login)

    @cached_property
    def mirrors(self) -> Mirrors:
        """Where this machine gets Debian from."""
        return mirror.read()

    @cached_property
    def platform(self) -> Platform:
        """What a host that is made now boots: what the inventory wants, where this machine can have it."""
        if self.wanted is platforms.UBUNTU:
            archive = ubuntu.upstream(image.architecture()).archive
            if not ubuntu.reachable(archive):
                print(
                    f"This machine does not reach {archive}: the hosts boot {platforms.DEBIAN.about} "
                    f"instead of {self.wanted.about}.",
                    file=sys.stderr,
                    flush=True,
                )
                return platforms.DEBIAN
        return self.wanted

    @property
    def sources(self) -> list[str]:
        """The apt sources of a host that is made now, one-line format."""
        return self.platform.sources(self.network.url, security=self.mirrors.security is not None)

    def prepare(self) -> None:
        """Make the state's folders, and refuse a file system on which no host can live."""
        self.registry.prepare()
        self.hosts.mkdir(parents=True, exist_ok=True)
        kind = run(
            ["findmnt", "-n", "-o", "FSTYPE", "--target", self.hosts], purpose="find the kind of file system"
        )
        if kind.split()[-1] == "overlay":
            raise LabError(
                f"{self.state} is on an overlay file system, on which another overlay cannot write; no host was made. "
                "Put the checkout on a real one (ext4, xfs, btrfs) or mount a tmpfs there."
            )
        # Two inventories of a fresh checkout may come up at once.
        with self.registry.lock("controller-key"):
            self.access.ensure_key()

    def ready(self) -> None:
        """Bring up the network, its package cache, and the archive where a host was given it.

        The caller holds the bridge's lock.
        """
        self.network.ensure(self.mirrors)
        if self.archive_key.exists():
            self.serve_archive()

    def image(self) -> Path:
        """Return the image's folder, building it through the network's package cache when there is none.

        Ubuntu has PostgreSQL 14 itself, other systems need the lab's archive.
        """
        if self.platform is not platforms.UBUNTU:
            self.serve_archive()
        return image.ensure(self.platform, self.sources)

    def serve_archive(self) -> None:
        """Serve the lab's own archive on the network, built first when this machine has none."""
        built = archive.ensure()
        self.network.publish(built.repository)
        self.archive_key.write_text(built.key.read_text())

    def serve_later(self) -> None:
        """Serve PostgreSQL 17 besides, as <url>/archive/lab-17."""
        self.serve_archive()
        link = archive.ensure().repository / later.SUITE
        fresh = link.with_name(f"{later.SUITE}.{os.getpid()}")
        fresh.symlink_to(later.ensure())
        fresh.replace(link)

    def write_known_hosts(self) -> None:
        """Write the keys of every host of the checkout, whichever inventory it is in."""
        keys = []
        for path in (self.state / "hosts").glob("*/*/host.json"):
            about = json.loads(path.read_text())
            # A host that was made before ports were kept has sshd's own.
            known = known_as(about["address"], about.get("port", SSH_PORT))
            keys.append((path.parent.name, known, about["host_key"]))
        self.access.write_known_hosts(keys)
