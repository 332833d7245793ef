"""File operations that are whole or absent after a power cut."""

from __future__ import annotations

import ctypes
import os
import shutil
from pathlib import Path


def fsync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Writes a file that must not exist yet and flushes it to the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def write_atomically(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replaces path by a rename in its own directory: readers see the old content or the new."""
    temporary = path.with_name(f".{path.name}.next")
    temporary.unlink(missing_ok=True)
    create_file(temporary, data, mode)
    os.replace(temporary, path)
    fsync_directory(path.parent)


def exchange(one: Path, other: Path) -> None:
    """Each takes the other's name, at once: whoever comes by either meets one whole folder or the other."""
    here, exchanging = -100, 2  # AT_FDCWD, RENAME_EXCHANGE of renameat2(2)
    if ctypes.CDLL(None, use_errno=True).renameat2(
        here, os.fsencode(one), here, os.fsencode(other), exchanging
    ):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(other))


def replace_symlink(link: Path, target: str) -> None:
    """Points link at target by a rename: whoever follows it meets the old target or the new."""
    temporary = link.with_name(f".{link.name}.next")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    os.replace(temporary, link)
    fsync_directory(link.parent)


def remove(path: Path) -> None:
    """Removes a file, a link (never what it points at) or a directory tree; absent is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync_disk_of(path: Path) -> None:
    """Flushes the disk that path is on, and no other."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(descriptor)


def free_inodes(path: Path) -> int | None:
    """None where the file system does not count them."""
    found = os.statvfs(path)
    return found.f_favail if found.f_files else None


def tree_size(path: Path) -> int:
    """Bytes that path takes on the disk, links not followed."""
    total = 0
    for directory, names, files in os.walk(path):
        for name in [*names, *files]:
            total += os.lstat(os.path.join(directory, name)).st_blocks * 512
    return total
