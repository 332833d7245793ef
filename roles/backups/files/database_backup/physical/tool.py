"""pgBackRest as a command: one call, what it wrote, and its errors as sentences."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from database_backup.errors import FailedError, RefusedError
from database_backup.files import free
from database_backup.physical.settings import Settings
from database_backup.server import shown
from database_backup.words import size

ERROR = re.compile(r"ERROR: \[(?P<code>\d+)\]: (?P<text>.*)", re.DOTALL)
# Of a stanza in `info`: all is well; there is no backup yet; there is no stanza.
WELL, NO_BACKUP, NO_STANZA = 0, 2, 1
NO_DATA = 3
VERIFIES = (2, 39)
# Bytes: less is what a file of PostgreSQL's does not fit into.
FULL = 16 << 20


@dataclass(frozen=True)
class Said:
    """status: 0 is success. out: what was asked for. wrong: warnings and errors."""

    status: int
    out: str
    wrong: str

    @property
    def reason(self) -> str:
        """The error in one line."""
        found = ERROR.search(self.wrong)
        text = found["text"] if found else self.wrong or self.out
        return shown(re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ P\d\d +", "", text))


def ask(
    settings: Settings, command: str, *words: str, level: str = "warn", keeping: Sequence[int] = ()
) -> Said:
    """Runs a command of pgBackRest, which dies with us. keeping: descriptors it inherits, such as a lock's."""
    done = subprocess.run(
        [
            "/usr/bin/setpriv", "--pdeathsig", "KILL", "--", str(settings.tool), f"--config={settings.config}",
            f"--stanza={settings.stanza}", "--log-level-console=off", f"--log-level-stderr={level}", command, *words,
        ],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"},
        cwd="/",
        pass_fds=tuple(keeping),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )  # fmt: skip
    return Said(done.returncode, done.stdout, done.stderr)


def perform(settings: Settings, command: str, *words: str, keeping: Sequence[int] = ()) -> Said:
    """The same, for what has to go well. Raises FailedError with pgBackRest's reason."""
    said = ask(settings, command, *words, keeping=keeping)
    if said.status != 0:
        raise FailedError(f"pgbackrest {command} ended with status {said.status}: {said.reason}")
    return said


def full(path: Path) -> str:
    """A sentence when a disk has no room, which pgBackRest may say as a folder that is not there; else nothing."""
    room = free(path)
    return f" The disk of {path} was full: {size(room)} free." if room < FULL else ""


def version(settings: Settings) -> tuple[int, int]:
    """Such as (2, 37). Raises RefusedError when there is no pgBackRest."""
    try:
        done = subprocess.run(
            [str(settings.tool), "version"], capture_output=True, text=True, check=False, cwd="/"
        )
    except OSError as failure:
        raise RefusedError(
            f"{settings.tool} cannot be run ({failure.strerror}). Nothing was changed. It is installed by: "
            "ansible-playbook -i inventory/ENV playbooks/database.yml"
        ) from None
    found = re.search(r"\b(\d{1,4})\.(\d{1,4})", done.stdout)
    if found is None:
        raise RefusedError(
            f"{settings.tool} does not say its version: {shown(done.stderr)}. Nothing was changed."
        )
    return int(found[1]), int(found[2])


def info(settings: Settings) -> dict[str, Any]:
    """The stanza: status, db, archive, backup. Raises RefusedError when the key does not open the repository."""
    said = ask(settings, "info", "--output=json")
    try:
        found = next(
            (each for each in json.loads(said.out, strict=False) if each["name"] == settings.stanza), None
        )
    except ValueError:
        found = None
    if found is None:
        raise RefusedError(f"The repository cannot be read: {said.reason}. Nothing was changed.")
    code = int(found["status"]["code"])
    reasons = {str(each.get("status", {}).get("message", "")) for each in found.get("repo", [])} - {"ok", ""}
    if code not in (WELL, NO_BACKUP, NO_STANZA, NO_DATA):
        why = shown("; ".join(sorted(reasons)) or str(found["status"]["message"]))
        # What another key deciphers is any bytes, which pgBackRest says are no file of its own, and shows.
        plain = "".join(each if each.isprintable() and each != "\ufffd" else " " for each in why)
        raise RefusedError(
            f"The repository of {settings.stanza} cannot be used. Either the key on this host is not the one that made "
            f"it (the right one is kept where backups_physical_key_kept says), or it is damaged: {shown(plain)}. "
            "Nothing was changed."
        )
    return dict(found)


def kept(settings: Settings) -> dict[str, Any]:
    """The same, of a repository that there is. Raises RefusedError where it has nothing of this cluster."""
    found = info(settings)
    if int(found["status"]["code"]) in (NO_STANZA, NO_DATA):
        raise RefusedError(
            f"The repository holds nothing of {settings.stanza}: it is away, such as a disk that is not mounted, or "
            "was never made. Nothing was changed. What makes it: ansible-playbook -i inventory/ENV "
            "playbooks/database.yml"
        )
    return found


def system(about: dict[str, Any]) -> str:
    """The identifier of the cluster that a repository is of, "" where it holds nothing yet."""
    clusters = about.get("db") or [{}]
    return str(clusters[-1].get("system-id", ""))


def files(settings: Settings, folder: str) -> dict[str, dict[str, Any]]:
    """The files below a folder of the repository: {path: {"type", "size", "time"}}."""
    said = perform(settings, "repo-ls", "--recurse", "--output=json", folder)
    return dict(json.loads(said.out or "{}"))
