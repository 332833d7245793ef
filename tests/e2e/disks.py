"""A small disk of a host's own: what fills up is a real ext4, and nobody else's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e import hosts
from tests.lab.commands import run
from tests.lab.host import Host

# Samples of a disk that is not full yet, for whoever judges by a slope.
BEFORE = 15


def attach(host: Host, path: str, megabytes: int, owner: str = "root") -> None:
    """Make a disk in a file and mount it on a host; it is gone when it is unmounted, or the host is."""
    init = hosts.first_process(host)
    image = Path(f"/var/tmp/slipway-disk-{host.name}-{path.strip('/').replace('/', '-')}")
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    run(["mkfs.ext4", "-q", "-F", "-m", "0", image], purpose="make a disk")
    device = run(["losetup", "--find", "--show", image], purpose="attach it").strip()
    image.unlink()
    number = device.removeprefix("/dev/loop")
    inside = (
        f"mkdir -p {path} && {{ [ -b {device} ] || mknod {device} b 7 {number}; }} && mount {device} {path}"
    )
    try:
        run(["nsenter", "--target", str(init.pid), "--mount", "sh", "-c", inside], purpose="mount it")
    finally:
        # Once nobody has it mounted, it is free.
        run(["losetup", "--detach", device], purpose="let go of it")
    hosts.output(host, f"chown {owner}: {path}")


def detach(host: Host, path: str) -> None:
    """Unmount it, whoever uses it."""
    hosts.output(host, f"umount --lazy {path}")


@contextmanager
def attached(host: Host, path: str, megabytes: int, owner: str = "root") -> Iterator[None]:
    """Use as a context."""
    attach(host, path, megabytes, owner)
    try:
        yield
    finally:
        detach(host, path)


def fill(host: Host, path: str, percent: int) -> None:
    """Take that share of what is free on a disk."""
    free = int(hosts.output(host, f"df --output=avail --block-size=1 {path} | tail -1"))
    hosts.output(host, f"fallocate --length {free * percent // 100} {path}/filling")


def filling(host: Host, path: str, percent: int) -> None:
    """A new disk that fills up after a moment of being empty."""
    attach(host, path, 64)
    time.sleep(BEFORE)
    fill(host, path, percent)
