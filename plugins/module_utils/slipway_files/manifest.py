"""What each named set has written and watched, and whether its handler has run since.

One JSON file a set below /var/lib/slipway/files/<service>: only paths named there are ever removed, and a run that
dies between writing and reloading leaves `pending`, so that the next run reloads. Several services of a host may have
the same file in their records: owners.py.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator
from typing import Any

from ansible.module_utils.slipway_files.errors import HostFilesError
from ansible.module_utils.slipway_files.standing import digest_of_host

STATE = "/var/lib/slipway"
LOCK = "/run/slipway-files.lock"
# Every host has it, and nothing else there is named so.
OF_A_SERVICE = re.compile(r"/etc/rsyslog\.d/10-([a-z][a-z0-9_]*)\.conf")


@dataclasses.dataclass
class Manifest:
    """`files` and `watched` are {path: sha256}; `pending` means written, but not yet in force; `beside` are the set's
    other paths and claims (standing.beside), None in the record of a set that was written before they were kept;
    `sources` are {path: sha256} of the templates that the files were made of."""

    files: dict[str, str]
    watched: dict[str, str]
    pending: bool
    beside: dict[str, list[Any]] | None = None
    sources: dict[str, str] = dataclasses.field(default_factory=dict)


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


def read(app: str, name: str) -> Manifest:
    """The manifest of a service's set; an empty one for a set never written."""
    for path in (path_of(app, name), _path_before(name) if configured_before() in (app, "") else ""):
        try:
            with open(path, encoding="utf-8") as stream:
                return Manifest(**json.load(stream))
        except FileNotFoundError:
            continue
    return Manifest({}, {}, False)


def write(app: str, name: str, manifest: Manifest) -> None:
    """Replace the set's manifest, on disk before this returns."""
    path = path_of(app, name)
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


def standing(app: str) -> dict[str, str]:
    """{name: digest} of the sets that are whole and in force, so that a run need only compare; no lock is taken."""
    found = {}
    for name in names(app):
        known = read(app, name)
        if known.pending or known.beside is None or watched(known.beside["watch"]) != known.watched:
            continue
        if digest := digest_of_host(known.files, known.beside):
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


def names(app: str) -> list[str]:
    """The sets of a service that were ever written on this host."""
    found = _records(f"{STATE}/files/{app}")
    return sorted({*found, *(_records(f"{STATE}/files") if configured_before() in (app, "") else [])})


def services() -> list[str]:
    """The services that have sets on this host."""
    found = os.listdir(f"{STATE}/files") if os.path.isdir(f"{STATE}/files") else []
    return sorted(name for name in found if _records(f"{STATE}/files/{name}"))


def configured_before() -> str | None:
    """The service for which an earlier Slipway, which knew one a host, configured this one; None where none did.

    Empty where it had not come far enough to say.
    """
    if not _records(f"{STATE}/files"):
        return None
    try:
        with open(_path_before("rsyslog"), encoding="utf-8") as stream:
            found = [OF_A_SERVICE.fullmatch(path) for path in json.load(stream)["files"]]
    except FileNotFoundError:
        found = []
    return next((match[1] for match in found if match), "")


def take_over(app: str) -> None:
    """What an earlier Slipway recorded becomes the service's: renames, the one that says whose they are last."""
    if configured_before() not in (app, ""):
        return
    os.makedirs(f"{STATE}/files/{app}", mode=0o755, exist_ok=True)
    for name in sorted(_records(f"{STATE}/files"), key=lambda name: (name == "rsyslog", name)):
        os.rename(_path_before(name), path_of(app, name))


def _records(folder: str) -> list[str]:
    try:
        return [entry.removesuffix(".json") for entry in os.listdir(folder) if entry.endswith(".json")]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def path_of(app: str, name: str) -> str:
    """The file with the record of a service's set."""
    return os.path.join(STATE, "files", app, name + ".json")


def _path_before(name: str) -> str:
    return os.path.join(STATE, "files", name + ".json")
