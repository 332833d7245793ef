"""The developer's PostgreSQL: in a folder of the checkout, on a socket there, and kept."""

import ctypes
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import anyio

from tests.postgresql import Cluster

PORT = 5432
STOP_SECONDS = 30.0
# linux/prctl.h
PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Let the kernel interrupt this child when its parent ends in whatever way."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)


class DevelopmentCluster(Cluster):
    """One server for this checkout; whoever can enter its folder, which nobody else can, is any role."""

    access = "local all all trust\n"
    configuration = "listen_addresses = ''\ntimezone = 'UTC'\n"
    initdb = ()

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.port = PORT

    def _identity(self) -> dict[str, Any]:
        # A terminal's Ctrl-C is for the runner, which ends the service first and the database after it.
        return {**super()._identity(), "start_new_session": True, "preexec_fn": die_with_parent}

    def _require_a_way_in(self) -> None:
        words = ["/usr/bin/test", "-w", self.root]
        if self.user and subprocess.run(words, cwd="/", check=False, **self._identity()).returncode != 0:
            raise RuntimeError(
                f"PostgreSQL does not run as root, and {self.user}, as whom it would, cannot enter "
                f"{self.root}: move the checkout to where everybody can go, or type make dev as another "
                "user. Nothing was started."
            )

    def end_what_was_left(self) -> None:
        """Stop the server that an earlier run was killed beside: the one that its folder names."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
            if Path(f"/proc/{pid}/cwd").resolve() != self.data.resolve():
                return
            os.kill(pid, signal.SIGINT)
        except (OSError, ValueError, IndexError):
            return
        deadline = time.monotonic() + STOP_SECONDS
        while (self.data / "postmaster.pid").exists():
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"The PostgreSQL with the process id {pid} does not end; end it: kill {pid}"
                )
            time.sleep(0.05)

    def begin(self) -> None:
        """Start the server, made first where it was not made to the end."""
        made = self.root / "made"
        self._require_a_way_in()
        self.end_what_was_left()
        if not made.exists():
            if self.data.exists():
                shutil.rmtree(self.data)
            self.create()
        self.start()
        if not made.exists():
            anyio.run(self.create_roles)
            anyio.run(self.create_database, "shop")
            made.touch()
