"""The repository is fetched: what is here stays as it came, whatever becomes of it there.

Files of archived WAL and finished backups never change, so one that is here is never written again. Only the lists of
what there is do; each earlier one is kept. What is published last are the lists, and only when they did not change
while the rest was fetched: a copy is whole at every moment, also behind a kill.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from database_backup import files, lock
from database_backup.copying import aging
from database_backup.copying.serving import RECEIPT
from database_backup.copying.settings import Fetching
from database_backup.errors import BackupError, FailedError, RefusedError
from database_backup.server import shown

LOCK = ".copy.lock"
MARK = "copy.json"
IDENTITY = "identity.json"
SYSTEM = re.compile(r"[0-9]{1,20}")
LABEL = re.compile(r"[0-9]{8}-[0-9]{6}F(_[0-9]{8}-[0-9]{6}[DI])?")
SEGMENT = re.compile(r"([0-9A-F]{24})-[0-9a-f]{40}(\.[a-z0-9]+)?")
# rsync's, for files that vanished while it ran: the lists tell whether that matters.
VANISHED = 24
TRIES = 5
LISTED = 200


def fetch(settings: Fetching) -> dict[str, Any]:
    """Fetches what is new; says so here and to the database's host. Raises what kept it from being done."""
    with lock.held(settings.folder / LOCK, f"a copy of {settings.stanza}") as descriptor:
        began = time.monotonic()
        try:
            found = _fetched(settings, descriptor)
            found |= {"ok": True, "problem": "", "at": files.utc_now()}
        except (BackupError, OSError) as failure:
            found = {**files.read(settings.folder / MARK), "ok": False, "problem": str(failure)}
            _told(settings, found, began)
            raise
        return _told(settings, found, began)


def _told(settings: Fetching, found: dict[str, Any], began: float) -> dict[str, Any]:
    empty = {"at": "", "system": "", "labels": [], "newest_segment": "", "bytes": 0}
    said = {**empty, **found, "host": settings.host, "tried_at": files.utc_now()}
    said["seconds"] = round(time.monotonic() - began, 2)
    files.write_whole(settings.folder / MARK, said)
    # A host that is away is told nothing; how old its last receipt is, it sees.
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(
            [*settings.shell, settings.there, RECEIPT], input=json.dumps(said), text=True, capture_output=True,
            check=False, timeout=60,
        )  # fmt: skip
    return said


def _fetched(settings: Fetching, descriptor: int) -> dict[str, Any]:
    _stage(settings, descriptor)
    system = identity(settings)
    copy = settings.copies / system / "repository"
    copy.mkdir(parents=True, exist_ok=True)
    for _ in range(TRIES):
        before = _lists(settings.staged, settings.stanza)
        _data(settings, copy, descriptor)
        _stage(settings, descriptor)
        if identity(settings) == system and _lists(settings.staged, settings.stanza) == before:
            break
    else:
        raise FailedError(
            f"The repository changed {TRIES} times while it was copied. What came is kept; the next run goes on."
        )
    changed = _publish(settings, copy)
    aging.age(settings, copy, _listed(settings, descriptor) if changed or aging.due(settings, copy) else None)
    return {"system": system, **contents(copy, settings.stanza)}


def _stage(settings: Fetching, descriptor: int) -> None:
    """The lists, what is remembered beside them, and which backups are finished: small, and fetched anew."""
    stanza = settings.stanza
    wanted = [
        "/archive/", f"/archive/{stanza}/", f"/archive/{stanza}/archive.info", "/backup/", f"/backup/{stanza}/",
        f"/backup/{stanza}/backup.info", f"/backup/{stanza}/*/", f"/backup/{stanza}/*/backup.manifest", "/slipway/",
        f"/slipway/{stanza}/", f"/slipway/{stanza}/**",
    ]  # fmt: skip
    settings.staged.mkdir(exist_ok=True)
    _rsync(
        settings, descriptor, wanted, settings.staged, "--delete", "--delete-excluded", "--prune-empty-dirs"
    )


def identity(settings: Fetching) -> str:
    """Which cluster the repository is of: each has a copy of its own. Raises RefusedError."""
    found = str(files.read(settings.staged / "slipway" / settings.stanza / IDENTITY).get("system", ""))
    if not SYSTEM.fullmatch(found):
        raise RefusedError(
            f"The repository of {settings.stanza} does not say which cluster it is of: it has no backup yet, or is "
            "away. "
            "What is here stays as it is."
        )
    return found


def _lists(top: Path, stanza: str) -> dict[str, str]:
    paths = (top / f"archive/{stanza}/archive.info", top / f"backup/{stanza}/backup.info")
    if not all(path.is_file() for path in paths):
        raise RefusedError(
            f"The repository of {stanza} has no backup yet, or is away, such as a disk that is not mounted. What is "
            "here "
            "stays as it is."
        )
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _data(settings: Fetching, copy: Path, descriptor: int) -> None:
    """Archived WAL, and all of the finished backups; a file that is here already is left alone."""
    stanza = settings.stanza
    found = sorted(
        path.parent.name for path in (settings.staged / "backup" / stanza).glob("*/backup.manifest")
    )
    wanted = ["/archive/", f"/archive/{stanza}/", f"/archive/{stanza}/*/", f"/archive/{stanza}/*/**", "/backup/",
              f"/backup/{stanza}/"]  # fmt: skip
    for label in filter(LABEL.fullmatch, found):
        wanted += [f"/backup/{stanza}/{label}/", f"/backup/{stanza}/{label}/**"]
    _rsync(settings, descriptor, wanted, copy, "--ignore-existing")


def _publish(settings: Fetching, copy: Path) -> bool:
    """Puts the lists in place, each by a rename, and keeps the earlier ones; whether they are others."""
    stanza = settings.stanza
    remembered = copy / "slipway" / stanza
    part = remembered.with_name(f".{stanza}.part")
    shutil.rmtree(part, ignore_errors=True)
    _copied(settings.staged / "slipway" / stanza, part)
    shutil.rmtree(remembered, ignore_errors=True)
    part.rename(remembered)
    changed = False
    for name in (f"archive/{stanza}/archive.info", f"backup/{stanza}/backup.info"):
        new, path = (settings.staged / name).read_bytes(), copy / name
        if path.exists() and path.read_bytes() == new:
            continue
        changed = True
        if path.exists():
            kept = copy.parent / "earlier" / files.utc_now().replace(":", "")
            kept.mkdir(parents=True, exist_ok=True)
            (kept / path.name).write_bytes(path.read_bytes())
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(new)
        files.sync(part)
        part.replace(path)
        files.sync(path.parent)
        # pgBackRest's own second one of each, which it takes when the first is damaged.
        path.with_name(f"{path.name}.copy").write_bytes(new)
    return changed


def _copied(source: Path, target: Path) -> None:
    """The files of a folder in a new one, no modes: its unit may set none with the setgid bit that folders inherit."""
    target.mkdir(parents=True)
    for path in sorted(source.rglob("*")):
        there = target / path.relative_to(source)
        if path.is_dir():
            there.mkdir()
        else:
            shutil.copyfile(path, there)


def _listed(settings: Fetching, descriptor: int) -> set[str]:
    """Every file that the repository has there now."""
    stanza = settings.stanza
    wanted = ["/archive/", f"/archive/{stanza}/", f"/archive/{stanza}/**", "/backup/", f"/backup/{stanza}/",
              f"/backup/{stanza}/**"]  # fmt: skip
    said = _rsync(settings, descriptor, wanted, None, "--list-only", "--no-human-readable")
    lines = (line.split(maxsplit=4) for line in said.splitlines() if line.startswith("-"))
    return {words[4] for words in lines if len(words) == 5}


def contents(copy: Path, stanza: str) -> dict[str, Any]:
    """labels: the finished backups, newest last. newest_segment: of the WAL. bytes: all of it."""
    labels = sorted(path.parent.name for path in (copy / "backup" / stanza).glob("*/backup.manifest"))
    newest, size = "", 0
    for folder, _, names in os.walk(copy):
        for name in names:
            found = SEGMENT.fullmatch(name)
            newest = max(newest, found[1]) if found else newest
            size += os.lstat(os.path.join(folder, name)).st_size
    return {"labels": labels[-LISTED:], "newest_segment": newest, "bytes": size}


def _rsync(settings: Fetching, descriptor: int, wanted: Sequence[str], into: Path | None, *words: str) -> str:
    said = transfer(
        settings, descriptor, [f"--include={each}" for each in wanted] + list(words), "repository", into
    )
    if said.returncode not in (0, VANISHED):
        raise FailedError(
            f"The repository was not copied: rsync ended with status {said.returncode}: {shown(said.stderr)}. What is "
            "here "
            "is as whole as before; the next run goes on."
        )
    return said.stdout


def transfer(
    settings: Fetching,
    descriptor: int,
    words: Sequence[str],
    module: str,
    into: Path | None,
    back: bool = False,
) -> subprocess.CompletedProcess[str]:
    """One run of rsync. into: the folder here; back: from it. No links, owners or modes are taken from there."""
    there, here = f"{settings.there}::{module}/", [f"{into}/"] if into else []
    return subprocess.run(
        [
            "/usr/bin/setpriv", "--pdeathsig", "TERM", "--", "/usr/bin/rsync", "--recursive", "--times",
            "--omit-dir-times", "--no-perms", "--timeout=300", "--exclude=*.pgbackrest.tmp",
            f"--rsh={' '.join(settings.shell)}", *words, *([] if back else ["--exclude=*"]),
            *([*here, there] if back else [there, *here]),
        ],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}, pass_fds=[descriptor],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
