"""The folders of a set, each opened once from the root down: what somebody swaps meanwhile is not written through."""

from __future__ import annotations

import errno
import os
import stat


class Folders:
    """Open folders by path. A link on the way is followed only where root alone could have put it."""

    def __init__(self) -> None:
        self._opened: dict[str, int] = {}

    def __enter__(self) -> Folders:
        return self

    def __exit__(self, *problem: object) -> None:
        for handle in self._opened.values():
            os.close(handle)

    def opened(self, path: str) -> int:
        """The folder's descriptor; it and the folders above it are made when they are missing. Raises OSError."""
        if path not in self._opened:
            above, name = os.path.split(path)
            # A folder of its own descriptor, not the path: the path may mean another one by now.
            handle = (
                os.open("/", os.O_RDONLY | os.O_DIRECTORY)
                if path == "/"
                else _entered(self.opened(above), name)
            )
            self._opened[path] = handle
        return self._opened[path]

    def at(self, path: str) -> str:
        """A name for path in its folder as it was opened, for functions that take names."""
        folder, name = os.path.split(path)
        return f"/proc/self/fd/{self.opened(folder)}/{name}"


def _entered(above: int, name: str) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY
    try:
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=above)
    except FileNotFoundError:
        os.mkdir(name, 0o755, dir_fd=above)
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=above)
    except OSError:
        if not stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
            raise
        if not _is_roots_alone(above):
            said = f"{name}, a folder on the way to it, is a link, and others than root can change where it leads"
            raise OSError(errno.ELOOP, said) from None
        return os.open(name, flags, dir_fd=above)


def _is_roots_alone(handle: int) -> bool:
    found = os.fstat(handle)
    return found.st_uid == 0 and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
