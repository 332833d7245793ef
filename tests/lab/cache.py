"""What is built once a machine and used by every checkout on it: images, the archive, downloaded packages."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab.registry import wait_for_lock

# Megabytes that a build takes at its peak.
ROOM = {"images": 700, "archive": 400}


def folder() -> Path:
    """Return the cache's folder: $SLIPWAY_LAB_CACHE, or /var/cache for root, who boots hosts, or the user's own.

    Root's is not under /root because PostgreSQL, which refuses to run as root, must reach what is in it.
    """
    if chosen := os.environ.get("SLIPWAY_LAB_CACHE"):
        return Path(chosen).absolute()
    if os.geteuid() == 0:
        return Path("/var/cache/slipway-lab")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slipway-lab"


def key(*inputs: str) -> str:
    """Return the hash under which something made from these inputs is kept: 12 hexadecimal digits."""
    return hashlib.sha256("\0".join(inputs).encode()).hexdigest()[:12]


def require_room(shelf: Path, megabytes: int) -> None:
    """Raise LabError when the file system has not that much room."""
    free = shutil.disk_usage(shelf).free // 1_000_000
    if free < megabytes:
        raise LabError(
            f"Building in {shelf} takes about {megabytes} MB and its file system has {free} MB left; nothing was "
            "changed. Free some room, or set SLIPWAY_LAB_CACHE to a folder that has it, and type the command again."
        )


def built(kind: str, name: str, build: Callable[[Path], None]) -> Path:
    """Return the folder <cache>/<kind>/<name>, built first when it is not there.

    Only one process of the machine builds a kind at a time, and a folder is visible under its name when it is
    whole and on the disk: what was half built when a build died is swept by the next one.
    """
    shelf = folder() / kind
    target = shelf / name
    if target.is_dir():
        return target
    # What is built is for every user of the machine, whatever this one's umask.
    umask = os.umask(0o022)
    try:
        shelf.mkdir(parents=True, exist_ok=True)
        build_once(shelf, target, build)
    finally:
        os.umask(umask)
    return target


def build_once(shelf: Path, target: Path, build: Callable[[Path], None]) -> None:
    """Build a folder unless another process has meanwhile."""
    with (shelf / "lock").open("w") as lock:
        wait_for_lock(lock.fileno(), str(shelf))
        if target.is_dir():
            return
        for leftover in shelf.glob("*.partial"):
            shutil.rmtree(leftover)
        require_room(shelf, ROOM[shelf.name])
        print(f"Building {target} (once a machine) …", file=sys.stderr, flush=True)
        began = time.monotonic()
        partial = shelf / f"{target.name}.partial"
        partial.mkdir()
        try:
            build(partial)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        subprocess.run(["sync", "--file-system", partial], check=True)
        partial.rename(target)
        print(f"Built {target} in {time.monotonic() - began:.0f} s.", file=sys.stderr, flush=True)
