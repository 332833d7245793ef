"""Put a checked difference in place: everything is on disk under other names before the first rename."""

from __future__ import annotations

import os
import shutil

from ansible.module_utils.slipway_files.compare import Change, Difference
from ansible.module_utils.slipway_files.errors import HostFilesError
from ansible.module_utils.slipway_files.folders import Folders
from ansible.module_utils.slipway_files.manifest import STATE, watched

SUFFIX = ".slipway-new"


def keep_originals(paths: list[str]) -> None:
    """Copy what stands at paths that Slipway never wrote, each once, before the first of them is recorded as ours."""
    for path in paths:
        try:
            _keep_original(path)
        except OSError as error:
            raise HostFilesError(
                f"What stands at {path} could not be kept below {STATE}/originals: {error.strerror}. "
                "No live file was changed; make room or mend the disk and run again."
            ) from error


def keep_edited(known: dict[str, set[str]], difference: Difference) -> dict[str, str]:
    """Copy what is about to go and is not as any record of its path has it, {path: copy}: somebody edited it.

    A copy is named by what is in it, so the same edit made again takes no more room.
    """
    going = [change.path for change in difference.changes if change.kind == "file" and change.content_differs]
    kept = {}
    for path, digest in watched([path for path in [*going, *difference.removed] if path in known]).items():
        if digest not in known[path]:
            kept[path] = os.path.join(STATE, "replaced", f"{path.lstrip('/')}.{digest[:12]}")
            try:
                _keep(path, kept[path])
            except OSError as error:
                raise HostFilesError(
                    f"What stands at {path} was edited, and could not be kept as {kept[path]}: {error.strerror}. "
                    "No live file was changed; make room or mend the disk and run again."
                ) from error
    return kept


def apply(difference: Difference) -> None:
    """Write, rename, give back or remove. A full disk is met before any live file has changed."""
    with Folders() as folders:
        _apply(difference, folders)


def _apply(difference: Difference, folders: Folders) -> None:
    directories = [change for change in difference.changes if change.kind == "directory"]
    files = [change for change in difference.changes if change.kind != "directory"]
    prepared: list[tuple[str, str]] = []
    path = ""
    try:
        for change in directories:
            path = change.path
            _own(folders.opened(path), change)
        for change in files:
            path = change.path
            if change.content_differs:
                prepared.append((_prepare(change, folders.at(path)), path))
        for path in difference.removed:
            live = folders.at(path)
            if os.path.lexists(original(path)):
                prepared.append((copy_of(original(path), _beside(live)), path))
    except OSError as error:
        for temporary, _ in prepared:
            os.unlink(temporary)
        raise HostFilesError(
            f"{path} could not be written: {error.strerror}. "
            "No live file was changed; make room or mend the disk and run again."
        ) from error
    for change in files:
        if not change.content_differs:
            _own_in_place(folders.at(change.path), change)
    for temporary, path in prepared:
        os.rename(temporary, folders.at(path))
    for path in difference.removed:
        if not os.path.lexists(original(path)):
            os.unlink(folders.at(path))
    for folder in {
        os.path.dirname(path) for path in [*(change.path for change in files), *difference.removed]
    }:
        os.fsync(folders.opened(folder))


def _prepare(change: Change, live: str) -> str:
    temporary = _beside(live)
    if change.kind == "link":
        os.symlink(change.content.decode(), temporary)
        return temporary
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as stream:
        try:
            stream.write(change.content)
            stream.flush()
            _own(stream.fileno(), change)
            os.fsync(stream.fileno())
        except OSError:
            os.unlink(temporary)
            raise
    return temporary


def _beside(path: str) -> str:
    """A name in the same folder, free of what an earlier run left there: daemons' patterns skip a leading dot."""
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, "." + name + SUFFIX)
    if os.path.lexists(temporary):
        os.unlink(temporary)
    return temporary


def _own(handle: int, change: Change) -> None:
    os.fchown(handle, change.owner, change.group)
    os.fchmod(handle, change.mode)


def _own_in_place(path: str, change: Change) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        _own(handle, change)
    finally:
        os.close(handle)


def forget_originals(paths: list[str]) -> None:
    """Drop the copies of what was given back; only once the set's record no longer claims those paths."""
    for path in paths:
        if os.path.lexists(original(path)):
            os.unlink(original(path))


def original(path: str) -> str:
    """Where what stood at path before Slipway's first write is kept, when something did."""
    return os.path.join(STATE, "originals", path.lstrip("/"))


def _keep_original(path: str) -> None:
    if os.path.islink(path) or os.path.isfile(path):
        _keep(path, original(path))


def _keep(path: str, copy: str) -> None:
    """Copy a file or link to below STATE, once, out of other users' reach whatever its own mode is."""
    if os.path.lexists(copy):
        return
    top = os.path.join(STATE, os.path.relpath(copy, STATE).split("/")[0])
    os.makedirs(top, mode=0o700, exist_ok=True)
    os.makedirs(os.path.dirname(copy), mode=0o700, exist_ok=True)
    os.rename(copy_of(path, _beside(copy)), copy)


def copy_of(source: str, temporary: str) -> str:
    """Copy a file or link with owner, mode and times, on disk before this returns; nothing is left when it fails."""
    try:
        found = os.lstat(source)
        if not os.path.islink(source):
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        shutil.copy2(source, temporary, follow_symlinks=False)
        os.chown(temporary, found.st_uid, found.st_gid, follow_symlinks=False)
        if not os.path.islink(temporary):
            os.chmod(temporary, found.st_mode & 0o7777)
            _sync(temporary)
    except OSError:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        raise
    return temporary


def _sync(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
