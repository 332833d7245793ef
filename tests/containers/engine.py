"""podman as Debian 12 has it, in namespaces and with storage of its own: the machine's own is not touched."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.containers.namespace import Namespace
from tests.lab import compose
from tests.lab.commands import CONTAINER_PACKAGES, missing
from tests.lab.errors import LabError

ROOT = Path(__file__).resolve().parents[2]
SOCKET = "/run/podman.sock"
# Without CAP_SYS_RESOURCE no limit may be above the machine's own, and podman's own defaults are.
CONTAINERS = """\
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
[network]
network_backend = "netavark"
network_config_dir = "{place}/networks"
"""
STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{place}/storage"
runroot = "/run/containers/storage"
"""
# A name without a registry is never looked for in one.
REGISTRIES = "unqualified-search-registries = []\n"
# What podman keeps beside its storage lies in memory, and crun takes no control groups of both versions at once.
PREPARING = """\
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t tmpfs tmpfs /dev/shm
mkdir -p /run/lock {place}/var {place}/networks
if [ -d /var/lib/containers ]; then mount --bind {place}/var /var/lib/containers; fi
if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi
"""
# systemd's timers run health checks elsewhere; here there are none. Who is healthy is asked every fifth time: each
# question is two programs' start, and they share the cores with what is tested.
HEALTH = """\
turn=0
while sleep {seconds}; do
  asked=(--filter health=starting --filter health=unhealthy)
  if [ $((turn % 5)) = 0 ]; then asked+=(--filter health=healthy); fi
  turn=$((turn + 1))
  for each in $(podman ps --quiet "${{asked[@]}}"); do
    podman healthcheck run "$each"
  done
done
"""


class Engine:
    """One that runs; nobody else uses its folder meanwhile. place: where it keeps everything."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir(parents=True, exist_ok=True)
        files = {"containers.conf": CONTAINERS, "storage.conf": STORAGE, "registries.conf": REGISTRIES}
        for name, text in files.items():
            (place / name).write_text(text.format(place=place))
        self.environment = {
            "CONTAINERS_CONF": str(place / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(place / "storage.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(place / "registries.conf"),
            "DOCKER_HOST": f"unix://{SOCKET}",
            "TMPDIR": "/var/tmp",
            # No systemd, no bus: what a shell that was logged in to has is not this engine's.
            "XDG_RUNTIME_DIR": "/run",
        }
        self.namespace = Namespace(PREPARING.format(place=place), place / "namespace.log")
        self.beside: list[subprocess.Popen[bytes]] = []

    def run(
        self,
        *argv: str | Path,
        folder: Path | None = None,
        stdin: str | None = None,
        environment: dict[str, str] | None = None,
        seconds: float = 600,
    ) -> subprocess.CompletedProcess[str]:
        """A program beside the containers, in their network; its end is the caller's to judge."""
        return self.namespace.run(argv, {**self.environment, **(environment or {})}, folder, stdin, seconds)

    def podman(self, *argv: str | Path, seconds: float = 600) -> str:
        """What podman says; raises AssertionError with what it complains of."""
        done = self.run("podman", "--log-level=error", *argv, seconds=seconds)
        assert done.returncode == 0, (
            f"podman {' '.join(map(str, argv))}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done.stdout.strip()

    def inspect(self, name: str, kind: str = "container") -> dict[str, Any]:
        """What podman knows of a container, or of another kind of thing."""
        return dict(json.loads(self.podman("inspect", f"--type={kind}", name))[0])

    def compose(
        self,
        *argv: str | Path,
        folder: Path,
        environment: dict[str, str] | None = None,
        seconds: float = 600,
    ) -> subprocess.CompletedProcess[str]:
        """docker-compose over podman's socket; see serve()."""
        return self.run(compose.program(), *argv, folder=folder, environment=environment, seconds=seconds)

    def serve(self, health_seconds: float = 1.0) -> None:
        """Offers docker's socket, and runs the containers' health checks, until the engine ends."""
        if self.beside:
            return
        self._start("service", ["podman", "system", "service", "--time=0", f"unix://{SOCKET}"])
        self._start("health", ["bash", "-c", HEALTH.format(seconds=health_seconds)])
        ready = self.run(
            "bash", "-c", f"for i in {{1..100}}; do [ -S {SOCKET} ] && exit; sleep 0.1; done; exit 1"
        )
        assert ready.returncode == 0, (self.place / "service.log").read_text()

    def _start(self, name: str, argv: Sequence[str]) -> None:
        with (self.place / f"{name}.log").open("wb") as log:
            self.beside.append(
                subprocess.Popen(
                    self.namespace.command(argv, self.place),
                    env={**os.environ, **self.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            )

    def end(self) -> None:
        """Ends every container and program; images, volumes and cached layers stay for the next."""
        self.run("podman", "rm", "--all", "--force", "--time=0")
        self.namespace.end()
        for each in self.beside:
            each.wait(timeout=60)
        for group in Path("/sys/fs/cgroup").glob("*/libpod_parent"):
            # Another engine's containers may be in it.
            with suppress(OSError):
                group.rmdir()


@contextmanager
def running(place: Path = ROOT / ".lab/containers") -> Iterator[Engine]:
    """An engine for as long as the block takes. Raises LabError with what the machine lacks, or cannot do."""
    if os.geteuid() != 0:
        raise LabError("The containers' tests make mounts and namespaces, which needs root.")
    if absent := missing(CONTAINER_PACKAGES):
        raise LabError(
            f"The containers' tests need {', '.join(absent)}, which this machine does not have. "
            "Type: python -m tests.lab install --containers"
        )
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        # Two would break each other's storage.
        fcntl.flock(lock, fcntl.LOCK_EX)
        engine = Engine(place)
        try:
            yield engine
        finally:
            engine.end()
