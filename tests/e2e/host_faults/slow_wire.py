"""A network between one host and others that is slow and loses packets, for kernels that have no netem.

Each host gets a TUN device and a route to the other end through it; this program carries the packets from one to the
other, and those of the first host late, and not all of them. When it ends, devices and routes are gone.

python -m tests.e2e.host_faults.slow_wire --delay SECONDS --loss SHARE PID=ADDRESS PID=ADDRESS...

PID is any process in the host's network.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import random
import select
import struct
import subprocess
import time
from collections import deque
from dataclasses import dataclass
from ipaddress import IPv4Address

DEVICE = "slow{}"
PACKET = 65_536
# <linux/if_tun.h>
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
# Of an IPv4 header.
DESTINATION = slice(16, 20)


@dataclass(frozen=True)
class End:
    """A host's end of the wire. device: the open TUN device, whose packets are read and written here."""

    address: IPv4Address
    device: int


def ip(words: str, *before: str) -> None:
    subprocess.run([*before, "ip", *words.split()], check=True)


def opened(number: int, pid: str, address: IPv4Address, others: list[IPv4Address]) -> End:
    """A TUN device in a host's network, by which it reaches the others."""
    name, inside = DEVICE.format(number), ("nsenter", "--target", pid, "--net")
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    # It stays this program's, wherever it is.
    ip(f"link set {name} netns {pid}")
    ip(f"link set {name} up", *inside)
    for other in others:
        ip(f"route add {other}/32 dev {name} src {address}", *inside)
    return End(address, device)


def carry(ends: list[End], delay: float, loss: float) -> None:
    """Carry packets until somebody ends this."""
    slow, by_address = ends[0].device, {end.address.packed: end.device for end in ends}
    late: deque[tuple[float, int, bytes]] = deque()
    while True:
        patience = max(0.0, late[0][0] - time.monotonic()) if late else None
        readable, _, _ = select.select([end.device for end in ends], [], [], patience)
        for device in readable:
            packet = os.read(device, PACKET)
            to = by_address.get(packet[DESTINATION])
            if to is None or (device == slow and random.random() < loss):
                continue
            if device == slow:
                late.append((time.monotonic() + delay, to, packet))
            else:
                os.write(to, packet)
        while late and late[0][0] <= time.monotonic():
            _, to, packet = late.popleft()
            os.write(to, packet)


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("--delay", type=float, required=True)
    words.add_argument("--loss", type=float, required=True)
    words.add_argument("ends", nargs="+", metavar="PID=ADDRESS")
    given = words.parse_args()
    ends = [(pid, IPv4Address(address)) for pid, _, address in (end.partition("=") for end in given.ends)]
    first, others = ends[0][1], [address for _, address in ends[1:]]
    carry(
        [
            opened(number, pid, address, [first] if number else others)
            for number, (pid, address) in enumerate(ends)
        ],
        given.delay,
        given.loss,
    )


if __name__ == "__main__":
    main()
