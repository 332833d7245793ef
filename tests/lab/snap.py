"""What snapd mounts on every Ubuntu server: a squashfs, which is 100 % full by its nature."""

import subprocess
import tempfile
from pathlib import Path

from tests.lab import cache
from tests.lab.commands import run

MOUNT = "snap/core20/1"
MEGABYTES = 4
FILESYSTEMS = Path("/proc/filesystems")
# What stands in for it where the kernel has no squashfs: as full, and not to be mistaken.
STAND_IN = "not-a-squashfs"


def image() -> Path:
    """Return the file of the squashfs, made first when this machine has none."""
    cache.ROOM.setdefault("snaps", 2 * MEGABYTES)
    return cache.built("snaps", cache.key("1", str(MEGABYTES)), build) / "core20.snap"


def build(folder: Path) -> None:
    """Make the file of the squashfs in an empty folder."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        content = Path(scratch) / "content"
        content.mkdir()
        (content / "filler").write_bytes(bytes(range(256)) * (MEGABYTES * 4096))
        run(
            ["mksquashfs", content, folder / "core20.snap", "-quiet", "-noD", "-noF"],
            purpose="make a squashfs",
        )


def mount(file: Path, root: Path) -> None:
    """Mount it below the root of a host, or what stands in for it, in the mount namespace of this process."""
    place = root / MOUNT
    if "squashfs" in FILESYSTEMS.read_text().split():
        run(["mount", "-t", "squashfs", "-o", "loop,ro,nodev", file, place], purpose="mount a squashfs")
        return
    run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", STAND_IN, place],
        purpose="mount what stands in for a squashfs",
    )
    subprocess.run(["dd", "if=/dev/zero", f"of={place}/filler", "bs=64k"], stderr=subprocess.DEVNULL)
