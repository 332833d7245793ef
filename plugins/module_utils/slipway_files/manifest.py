"""What each named set has written and watched, and whether its handler has run since.

One JSON file a set below /var/lib/slipway/files: only paths named there are ever removed, and a run that
dies between writing and reloading leaves `pending`, so that the next run reloads.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any

from ansible.module_utils.slipway_files.errors import HostFilesError
from ansible.module_utils.slipway_files.standing import digest_of_host

STATE = "/var/lib/slipway"
LOCK = "/run/slipway-files.lock"


@dataclasses.dataclass
class Manifest:
    """`files` and `watched` are {path: sha256}; `pending` means written, but not yet in force; `beside` are the set's
    other paths (standing.beside), None in the record of a set that was written before they were kept."""

    files: dict[str, str]
    watched: dict[str, str]
    pending: bool
    beside: dict[str, list[str]] | None = None


@contextlib.contextmanager
def lock(check_mode: bool) -> Iterator[None]:
    """Keep other runs from stating files until the block ends; a check only looks, and waits for nobody."""
    if check_mode:
        yield
        return
    try:
        stream = open(LOCK, "w", encoding="utf-8")  # noqa: SIM115  (closed below: opening alone may fail)
    except OSError as error:
        raise HostFilesError(f"{LOCK} could not be opened: {error.strerror}. Nothing was changed.") from error
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def read(name: str) -> Manifest:
    """The set's manifest; an empty one for a set never written."""
    try:
        with open(_path(name), encoding="utf-8") as stream:
            return Manifest(**json.load(stream))
    except FileNotFoundError:
        return Manifest({}, {}, False)


def write(name: str, manifest: Manifest) -> None:
    """Replace the set's manifest, on disk before this returns."""
    path = _path(name)
    temporary = path + ".new"
    try:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        with open(temporary, "w", encoding="utf-8", opener=_private) as stream:
            json.dump(dataclasses.asdict(manifest), stream, indent=1, sort_keys=True)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(temporary, path)
    except OSError as error:
        raise HostFilesError(
            f"The record of what Slipway has written ({path}) could not be written: {error.strerror}. "
            "Every file is whole, old or new; make room or mend the disk and run again."
        ) from error


def standing() -> dict[str, str]:
    """{name: digest} of the sets that are whole and in force, so that a run need only compare; no lock is taken."""
    found = {}
    for name in names():
        known = read(name)
        if known.pending or known.beside is None or watched(known.beside["watch"]) != known.watched:
            continue
        if digest := digest_of_host(list(known.files), known.beside):
            found[name] = digest
    return found


def digests(files: list[dict[str, Any]]) -> dict[str, str]:
    """{path: sha256} of a wanted set's files."""
    return {entry["path"]: hashlib.sha256(base64.b64decode(entry["content"])).hexdigest() for entry in files}


def watched(paths: list[str]) -> dict[str, str]:
    """{path: sha256} of the watched files that exist now."""
    found = {}
    for path in paths:
        if os.path.isfile(path):
            with open(path, "rb") as stream:
                found[path] = hashlib.sha256(stream.read()).hexdigest()
    return found


def names() -> list[str]:
    """The sets that were ever written on this host."""
    try:
        return sorted(
            entry.removesuffix(".json") for entry in os.listdir(f"{STATE}/files") if entry.endswith(".json")
        )
    except FileNotFoundError:
        return []


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _path(name: str) -> str:
    return os.path.join(STATE, "files", name + ".json")
