"""A Redis server of a test's own: a real one, on a socket of its own, keeping nothing."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PROGRAM_VARIABLE = "SHOP_TEST_REDIS_SERVER"
# Read now: a test sees none of this process's SHOP_ variables.
NAMED = os.environ.get(PROGRAM_VARIABLE)
START_TIMEOUT = 20.0


def program() -> str:
    """The program redis-server: named by the environment, or on PATH."""
    named = NAMED or shutil.which("redis-server")
    if not named:
        raise RuntimeError(
            "The tests of the cache need redis-server, and none is on PATH: install the package "
            f"redis-server, or set {PROGRAM_VARIABLE} to the program."
        )
    if not os.access(named, os.X_OK):
        raise RuntimeError(f"{named} cannot be run: correct {PROGRAM_VARIABLE}.")
    return named


class RedisServer:
    """One server; `url` is its address for the settings. It starts empty each time."""

    def __init__(self) -> None:
        self.program = program()
        # Short, because the path of a socket may have 107 bytes.
        self.root = Path(tempfile.mkdtemp(prefix="shop-redis-"))
        self.socket = self.root / "redis.sock"
        self.url = f"unix://{self.socket}"
        self._server: subprocess.Popen[bytes] | None = None

    def start(self, **options: str) -> None:
        """Start with these further options, such as maxmemory="1mb", and wait until it listens."""
        settings = {"port": "0", "unixsocket": str(self.socket), "save": "", "appendonly": "no", **options}
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        with (self.root / "server.log").open("ab") as log:
            self._server = subprocess.Popen([self.program, *words], stdout=log, stderr=log, cwd=self.root)
        deadline = time.monotonic() + START_TIMEOUT
        while not self._listens():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Redis did not start:\n{(self.root / 'server.log').read_text()}")
            time.sleep(0.02)

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            return connection.connect_ex(str(self.socket)) == 0

    def _signal(self, number: signal.Signals) -> None:
        assert self._server is not None, "the server does not run"
        self._server.send_signal(number)

    def freeze(self) -> None:
        """Let it hang: connections are accepted by the kernel, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on, with all that it was sent meanwhile."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, by its pid, with all it held."""
        if self._server is not None:
            self._signal(signal.SIGKILL)
            self._server.wait(timeout=START_TIMEOUT)
            self._server = None
            self.socket.unlink(missing_ok=True)

    def remove(self) -> None:
        """End it and delete its folder."""
        self.kill()
        shutil.rmtree(self.root)
