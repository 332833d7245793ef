"""Namespaces of the tests' own: nothing of the machine's network, mounts and processes is seen by what runs in them.

They end with the process that made them, however it ends, and everything that runs in them ends then.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.lab import process
from tests.lab.commands import search_path
from tests.lab.errors import LabError

NETWORK = 0x40000000
# The first process there: it makes the place, says so, takes in orphans, and ends when whoever made it is gone.
FIRST = """\
set -eu
ip link set lo up
{preparing}
echo ready
while read -r _; do :; done
"""


class Namespace:
    """preparing: lines of a shell, run in the new place before anything else is."""

    def __init__(self, preparing: str, log: Path) -> None:
        self.log = log
        with log.open("wb") as stream:
            self.outer = subprocess.Popen(
                [
                    "unshare", "--mount", "--propagation=private", "--net", "--pid", "--fork", "--kill-child",
                    "--mount-proc", "bash", "-c", FIRST.format(preparing=preparing),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                env={**os.environ, "PATH": search_path(), "LC_ALL": "C.UTF-8"},
                start_new_session=True,
            )  # fmt: skip
        assert self.outer.stdout
        if self.outer.stdout.readline().strip() != b"ready":
            self.outer.wait()
            raise LabError(
                f"This machine lets root make no namespaces with a network of their own: {process.tail(log)}"
            )
        outer = process.identify(self.outer.pid)
        self.first = process.children(outer)[0] if outer else None
        assert self.first

    def command(self, argv: Sequence[str | Path], folder: Path | None = None) -> list[str]:
        """The words that run argv in there, in this folder."""
        assert self.first
        enter = ["nsenter", f"--target={self.first.pid}", "--mount", "--net", "--pid", "--"]
        return [*enter, "env", "-C", str(folder or Path.cwd()), *map(str, argv)]

    def run(
        self,
        argv: Sequence[str | Path],
        environment: Mapping[str, str],
        folder: Path | None = None,
        stdin: str | None = None,
        seconds: float = 600,
    ) -> subprocess.CompletedProcess[str]:
        """Runs it to its end, whatever that is."""
        return subprocess.run(
            self.command(argv, folder),
            env={**os.environ, "PATH": search_path(), **environment},
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
        )

    @contextmanager
    def network(self) -> Iterator[None]:
        """Sockets that this thread makes meanwhile are of the network in there, and stay so."""
        assert self.first
        with (
            open("/proc/thread-self/ns/net", "rb") as own,
            open(f"/proc/{self.first.pid}/ns/net", "rb") as there,
        ):
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(own.fileno())

    def connect(self, address: str, port: int, seconds: float = 10) -> socket.socket:
        """A connection to an address in there. Raises OSError."""
        with self.network():
            made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.settimeout(seconds)
        try:
            made.connect((address, port))
        except OSError:
            made.close()
            raise
        return made

    def end(self) -> None:
        """Ends everything that runs in there."""
        assert self.outer.stdin
        assert self.outer.stdout
        self.outer.stdin.close()
        self.outer.wait(timeout=60)
        self.outer.stdout.close()


def _enter(descriptor: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(descriptor, NETWORK):
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")
