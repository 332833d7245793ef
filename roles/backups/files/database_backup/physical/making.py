"""A physical backup, and all that has to be there before the first."""

from __future__ import annotations

import time
from typing import Any

from database_backup import files, lock, words
from database_backup.errors import BackupError, FailedError, RefusedError
from database_backup.physical import chains, looking, seals, state, tool
from database_backup.physical.settings import Settings
from database_backup.server import Session

LOCK = ".physical-backup.lock"
LATEST = files.LATEST
KINDS = ("full", "diff", "incr")
ARCHIVING = """
SELECT json_build_object('mode', current_setting('archive_mode'), 'command', current_setting('archive_command'));
"""


def backup(settings: Settings, kind: str) -> dict[str, Any]:
    """Makes a backup (full, diff or incr) and returns its record; the oldest go as the retention says.

    Raises LockHeldError, RefusedError or FailedError; the next run goes on with what a killed one left.
    """
    with lock.held(settings.folder / LOCK, f"a physical backup of {settings.stanza}") as descriptor:
        try:
            return _made(settings, kind, descriptor)
        except (BackupError, OSError) as failure:
            files.mark(
                settings.folder, LATEST, {}, f"The {kind} backup at {files.utc_now()} failed: {failure}"
            )
            raise


def _made(settings: Settings, kind: str, descriptor: int) -> dict[str, Any]:
    began = time.monotonic()
    tool.kept(settings)
    try:
        tool.perform(settings, "backup", f"--type={kind}", keeping=[descriptor])
    except FailedError as failure:
        if full := tool.full(settings.repository):
            raise FailedError(
                f"{failure}.{full} Earlier backups are as they were, and the server writes on. Once there is room: "
                f"fab db-backup --type={kind}. docs/runbooks/db-archiving.md"
            ) from None
        raise
    with Session(settings.server(), "postgres", "backup") as session:
        (following,) = session.rows(state.NEXT)
    backups = chains.of(tool.info(settings))
    newest = backups[-1]
    seals.make(settings, newest.label)
    seals.prune(settings, [each.label for each in backups])
    state.remember(settings, state.ENDS, newest.label, following)
    seconds = round(time.monotonic() - began, 2)
    detail = (
        f"{newest.kind} backup {newest.label}, {words.size(newest.size)} of data, chain of {words.size(newest.kept)} "
        f"in the repository, in {seconds} s"
    )
    record = {**newest.record, "seconds": seconds, "detail": detail, "asked": kind}
    mark = {
        "at": newest.record["at"],
        "file": newest.label,
        "bytes": newest.kept,
        "sha256": "",
        "detail": detail,
    }
    files.mark(settings.folder, LATEST, mark)
    looking.look(settings)
    if newest.damaged:
        raise FailedError(
            f"The backup {newest.label} was made, and has pages whose checksums are wrong: the live data is damaged "
            "there. Earlier backups stay. docs/runbooks/db-backup-integrity.md"
        )
    return record


def _refuse_to_begin_anew(settings: Settings) -> None:
    """A repository that is away looks like one that was never made."""
    last = state.remembered(settings, LATEST).get("file")
    if last:
        raise RefusedError(
            f"The repository holds nothing of {settings.stanza}, and the backup {last} was made into it: is its disk "
            f"mounted? Nothing was changed. To begin anew, remove {settings.folder / LATEST}."
        )


def _refuse_another_cluster(settings: Settings, about: dict[str, Any]) -> None:
    """A new host whose repository came back has a cluster that is not the one of its backups."""
    live = state.system(settings)
    # A server that is away is no other one; whoever looks says that it is away.
    if live not in ("", tool.system(about)):
        raise RefusedError(
            f"The repository holds backups of another cluster of {settings.stanza} than the one that runs here, which "
            "nothing of is archived. Bring that one back: fab db-restore --latest --in-place, which keeps what runs "
            "now "
            "beside it. Nothing was changed. docs/runbooks/database-host-lost.md"
        )


def prepare(settings: Settings, begin: bool) -> dict[str, Any]:
    """The repository's stanza, a check that WAL arrives, and a first full backup, where they are missing.

    {"changed": bool, "done": sentences, "waits": what keeps it from going on, or "", "fresh": bool}. Without `begin`, a
    repository that holds nothing is left so, and `fresh`: a copy may hold what was here. Raises RefusedError for a
    repository that another key, or another cluster, made.
    """
    about = tool.info(settings)
    code = int(about["status"]["code"])
    if code == tool.WELL and chains.of(about):
        _refuse_another_cluster(settings, about)
        return {"changed": False, "done": [], "waits": "", "fresh": False}
    if code in (tool.NO_STANZA, tool.NO_DATA) and not begin:
        _refuse_to_begin_anew(settings)
        return {"changed": False, "done": [], "waits": "", "fresh": True}
    with Session(settings.server(), "postgres", "prepare") as session:
        (archiving,) = session.rows(ARCHIVING)
    if archiving["mode"] == "off":
        waits = (
            "PostgreSQL waits for a restart before it archives (archive_mode), and no backup is made before that: "
            "docs/runbooks/postgresql-waits-for-a-restart.md"
        )
        return {"changed": False, "done": [], "waits": waits, "fresh": False}
    if "archive-push" not in archiving["command"]:
        raise RefusedError(
            f"archive_command is {archiving['command']!r}, which is not pgBackRest's; something else than Slipway's "
            "settings sets it. Nothing was changed. fab db-status --section settings says what."
        )
    done = []
    if code in (tool.NO_STANZA, tool.NO_DATA):
        _refuse_to_begin_anew(settings)
        tool.perform(settings, "stanza-create")
        done.append("the stanza was created")
    tool.perform(settings, "check")
    done.append("WAL arrives in the repository")
    done.append(backup(settings, "full")["detail"])
    return {"changed": True, "done": done, "waits": "", "fresh": False}
