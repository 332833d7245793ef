"""A host's files, which are the upper layer of its overlay: copied, put in place, named as snapshots."""

import re
import shutil
from pathlib import Path

from tests.lab.commands import run
from tests.lab.errors import LabError

# No dot: what is half-made ends in .partial or .old.
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def names(shelf: Path) -> list[str]:
    """Return the names of the snapshots in a folder."""
    return sorted(path.name for path in shelf.glob("*") if NAME.fullmatch(path.name))


def check_name(name: str) -> None:
    """Raise LabError unless the name can be a folder's."""
    if not NAME.fullmatch(name):
        raise LabError(
            f"{name!r} cannot name a snapshot; nothing was changed. Use lower-case letters, digits and hyphens."
        )


def copy_files(source: Path, target: Path) -> None:
    """Copy a layer of files with its owners, times, hard links, extended attributes and whiteouts."""
    if target.exists():
        shutil.rmtree(target)
    run(["cp", "--archive", "--reflink=auto", source, target], purpose=f"copy {source}")


def replace_folder(fresh: Path, target: Path) -> None:
    """Put a folder in the place of another; settle_folder mends what a crash in between leaves."""
    settle_folder(target, keep=fresh)
    if target.exists():
        target.rename(target.with_name(f"{target.name}.old"))
    fresh.rename(target)
    settle_folder(target)


def settle_folder(target: Path, keep: Path | None = None) -> None:
    """Undo a replacement that was cut off half-way, and delete what a whole one left."""
    old, partial = target.with_name(f"{target.name}.old"), target.with_name(f"{target.name}.partial")
    if old.exists() and not target.exists():
        old.rename(target)
    for leftover in (old, partial):
        if leftover.exists() and leftover != keep:
            shutil.rmtree(leftover)


def require_image(folder: Path) -> None:
    """Raise LabError when the image under a host's files is gone."""
    image = folder / "image"
    if not image.exists():
        raise LabError(
            f"The image {image.readlink()} that {folder.name} was made on is gone, so the host cannot boot; "
            "its own files are untouched. To make it anew type: python -m tests.lab down, then up."
        )
