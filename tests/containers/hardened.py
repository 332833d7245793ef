"""A container as production runs one: nothing to write to, no capability, no way to more."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.containers.engine import Engine

# As containers/compose.production.yaml has them.
FLAGS = (
    "--read-only",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--pids-limit=100",
    "--stop-timeout=25",
)
CREDENTIALS = "/run/credentials"
PORT = 8000
# For a machine whose cores others have too.
PATIENCE_SECONDS = 180.0


class Running:
    """A container that serves."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine, self.name = engine, name
        networks = engine.inspect(name)["NetworkSettings"]["Networks"]
        self.address = next((each["IPAddress"] for each in networks.values()), "")

    @contextmanager
    def connection(self) -> Iterator[http.client.HTTPConnection]:
        """A connection to its port, from the network that it is in."""
        made = http.client.HTTPConnection(self.address, PORT, timeout=30)
        made.sock = self.engine.namespace.connect(self.address, PORT)
        try:
            yield made
        finally:
            made.close()

    def get(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in small letters, body. Raises OSError, HTTPException."""
        with self.connection() as made:
            made.request("GET", path)
            answer = made.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def answers(self, path: str, status: int = 200) -> float:
        """Waits until it answers so; the seconds that took."""
        began = time.monotonic()

        def good() -> bool:
            try:
                return self.get(path)[0] == status
            except (OSError, http.client.HTTPException):
                return False

        wait_for(good, f"{path} answers {status}: {self.logs()}")
        return time.monotonic() - began

    def python(self, program: str, *words: str) -> Any:
        """What a program prints as JSON that runs beside the server, as its user."""
        return json.loads(self.engine.podman("exec", self.name, "python", "-I", "-c", program, *words))

    def logs(self) -> str:
        done = self.engine.run("podman", "logs", self.name)
        return done.stdout + done.stderr

    def stop(self) -> float:
        """The seconds that it took to end."""
        began = time.monotonic()
        self.engine.podman("stop", self.name)
        return time.monotonic() - began

    @property
    def status(self) -> dict[str, Any]:
        return dict(self.engine.inspect(self.name)["State"])

    def children(self) -> list[int]:
        """The pids, as this container counts them, of the server's workers."""
        found: list[int] = self.python(WORKERS)
        return found


# The resource tracker of multiprocessing is a child too.
WORKERS = """\
import glob, json
found = []
for folder in glob.glob("/proc/[0-9]*"):
    try:
        said = open(folder + "/stat").read().rpartition(")")[2].split()
        words = open(folder + "/cmdline").read()
    except OSError:
        continue
    if said[1] == "1" and said[0] != "Z" and "spawn_main" in words:
        found.append(int(folder[6:]))
print(json.dumps(sorted(found)))
"""


@contextmanager
def container(
    engine: Engine,
    image: str,
    *words: str,
    name: str,
    settings: Mapping[str, str] | None = None,
    mounts: Mapping[Path, str] | None = None,
    flags: tuple[str, ...] = FLAGS,
) -> Iterator[Running]:
    """One that runs meanwhile. mounts: folders here, and where it has them, to be read."""
    said = [f"--env={key}={value}" for key, value in (settings or {}).items()]
    said += [f"--volume={place}:{there}:ro" for place, there in (mounts or {}).items()]
    engine.podman("run", "--detach", f"--name={name}", *flags, *said, image, *words)
    try:
        yield Running(engine, name)
    finally:
        engine.podman("rm", "--force", "--time=0", name)


def once(
    engine: Engine,
    image: str,
    *words: str,
    settings: Mapping[str, str] | None = None,
    mounts: Mapping[Path, str] | None = None,
    flags: tuple[str, ...] = FLAGS,
) -> subprocess.CompletedProcess[str]:
    """One that runs to its end."""
    said = [f"--env={key}={value}" for key, value in (settings or {}).items()]
    said += [f"--volume={place}:{there}:ro" for place, there in (mounts or {}).items()]
    return engine.run(
        "podman",
        "--log-level=error",
        "run",
        "--rm",
        "--network=none",
        *flags,
        *said,
        image,
        *words,
        seconds=120,
    )


def wait_for(good: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not good():
        assert time.monotonic() < deadline, f"after {PATIENCE_SECONDS:g} s it does not hold: {what}"
        time.sleep(0.05)
