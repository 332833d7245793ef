"""A control group for each host, so that two systemds never share one."""

import errno
import os
import time
from pathlib import Path


def hierarchies() -> list[Path]:
    """Return the mounted hierarchies in which a systemd keeps its units: version 2, and version 1's name=systemd."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, source = line.partition(" - ")
        kind, _, options = source.split(" ", 2)
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(",")):
            found.append(Path(mount.split()[4]))
    return found


def enter(name: str) -> None:
    """Move this process, and all it will start, into control groups of that name."""
    for hierarchy in hierarchies():
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        (group / "cgroup.procs").write_text(str(os.getpid()))


def remove(name: str) -> None:
    """Remove the control groups of that name; their processes must have ended."""
    for hierarchy in hierarchies():
        for folder, _, _ in os.walk(hierarchy / name, topdown=False):
            remove_folder(Path(folder))


def remove_folder(group: Path, seconds: float = 2) -> None:
    """Remove one control group; the kernel may take a moment to let go of it."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            group.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
