"""What somebody else made becomes root's, when there is nothing in it but files, folders and links that stay in it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from slipway.errors import StepError


def take_over(tree: Path, python: str) -> None:
    """tree: a virtual environment whose maker has ended and whose parent nobody else can enter.

    python: the file that the host's Python is, after all links.

    Afterwards all of it is root's and only root can write to it. Raises StepError for what is not to be taken.
    """
    for directory, folders, files, descriptor in os.fwalk(tree, follow_symlinks=False):
        os.fchown(descriptor, os.geteuid(), os.getegid())
        os.fchmod(descriptor, 0o755)
        for name in (*folders, *files):
            path = os.path.join(directory, name)
            found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if reason := _complaint(found, path, tree, python):
                raise StepError(
                    "build-suspect",
                    f"{Path(path).relative_to(tree.parent)}, made while the release was built, {reason}. The bundle is "
                    "not to be trusted. The half-built release was removed; traffic is untouched.",
                )
            os.chown(name, os.geteuid(), os.getegid(), dir_fd=descriptor, follow_symlinks=False)
            if stat.S_ISREG(found.st_mode):
                os.chmod(name, 0o755 if found.st_mode & stat.S_IXUSR else 0o644, dir_fd=descriptor)


def _complaint(found: os.stat_result, path: str, tree: Path, python: str) -> str:
    """Why it is not to be taken; empty when it is."""
    if stat.S_ISLNK(found.st_mode):
        target = os.readlink(path)
        return "" if _stays_inside(path, target, tree, python) else f"leads out of the release, to {target!r}"
    if found.st_mode & 0o6000:
        return f"is setuid or setgid (mode {stat.S_IMODE(found.st_mode):o})"
    if stat.S_ISDIR(found.st_mode):
        return ""
    if not stat.S_ISREG(found.st_mode):
        return "is no file, folder or link"
    return "" if found.st_nlink == 1 else "is a hard link to another file"


def _stays_inside(path: str, target: str, tree: Path, python: str) -> bool:
    """Whether a link ends within the environment, or is the one to the host's own Python."""
    if os.path.isabs(target):
        is_python = Path(path).parent == tree / "bin" and Path(path).name.startswith("python")
        return is_python and os.path.realpath(target) == python
    words = target.split("/")
    while words and words[0] == "..":
        words.pop(0)
    ends = os.path.normpath(os.path.join(os.path.dirname(path), target))
    # Back out of a folder that may itself be a link is not where it seems to be.
    return ".." not in words and Path(ends).is_relative_to(tree)
