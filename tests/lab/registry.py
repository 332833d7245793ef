"""Which lab of this machine runs what: locks and records under /run/slipway-lab, shared by all checkouts."""

import errno
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab import process
from tests.lab.errors import LabError
from tests.lab.process import Identity

RUNTIME = Path("/run/slipway-lab")


@dataclass(frozen=True)
class RecordedHost:
    """A host that was started: its supervising process, and whose it is."""

    name: str
    address: str
    machine: str
    bridge: str
    inventory: Path
    supervisor: Identity

    def nspawn(self) -> Identity | None:
        """Return its systemd-nspawn: the first process of the namespace that the supervisor's child made."""
        for namespace in process.children(self.supervisor):
            for first in process.children(namespace):
                return first
        return None


class Registry:
    """The records of this machine's labs; a record whose process has ended does not count."""

    def __init__(self, root: Path = RUNTIME) -> None:
        self.root = root
        self.hosts = root / "hosts"
        self.bridges = root / "bridges"
        # Where ssh keeps its shared connections: short, because a socket's path has at most 107 characters.
        self.control = root / "control"

    def prepare(self) -> None:
        """Make the registry's folders."""
        for folder in (self.hosts, self.bridges, self.root / "locks"):
            folder.mkdir(parents=True, exist_ok=True)
        self.control.mkdir(mode=0o700, exist_ok=True)

    def record(self, address: str) -> Path:
        """Return the path of the record of the host with this address."""
        return self.hosts / f"{address}.json"

    def recorded(self) -> list[RecordedHost]:
        """Return every host that has a record, whether it still runs or not."""
        found = []
        for record in sorted(self.hosts.glob("*.json")):
            try:
                identity, about = process.load(record)
            except FileNotFoundError:
                continue
            inventory = Path(about.pop("inventory"))
            found.append(RecordedHost(**about, inventory=inventory, supervisor=identity))
        return found

    def running(self) -> list[RecordedHost]:
        """Return every host of this machine that runs."""
        return [host for host in self.recorded() if process.alive(host.supervisor)]

    def ended(self) -> list[RecordedHost]:
        """Return every host that stopped or crashed and was not cleared away."""
        return [host for host in self.recorded() if not process.alive(host.supervisor)]

    def running_at(self, address: str) -> RecordedHost | None:
        """Return the host that runs at this address, whoever started it."""
        return next((host for host in self.running() if host.address == address), None)

    def refuse_strangers(self, address: str, inventory: Path) -> None:
        """Raise LabError when a host of another inventory runs at this address."""
        host = self.running_at(address)
        if host and host.inventory != inventory:
            checkout = host.inventory.parent.parent
            raise LabError(
                f"{address} is the running host {host.name} of another lab, {host.inventory}; nothing was changed. "
                f"To end that one type: cd {checkout} && "
                f"python -m tests.lab down --inventory {host.inventory.relative_to(checkout)}"
            )

    @contextmanager
    def lock(self, name: str) -> Iterator[int]:
        """Hold a machine-wide lock for one bridge or one host; yield its descriptor."""
        descriptor = os.open(self.root / "locks" / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            wait_for_lock(descriptor, name)
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def lock_if_free(self, name: str) -> Iterator[bool]:
        """Hold a lock if nobody has it; yield whether it is held."""
        descriptor = os.open(self.root / "locks" / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield try_lock(descriptor)
        finally:
            os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Take an exclusive lock on an open file if nobody has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            return False
        raise
    return True


def wait_for_lock(descriptor: int, what: str) -> None:
    """Take an exclusive lock on an open file, saying so when another lab command has it for long."""
    patience = time.monotonic() + 3
    while not try_lock(descriptor):
        if time.monotonic() > patience:
            print(f"Waiting for another lab command that works on {what} …", file=sys.stderr, flush=True)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            return
        time.sleep(0.01)
