"""Proof that backups come back: the newest is restored to a marked moment, checked page by page and counted."""

from __future__ import annotations

import subprocess
import time
from typing import Any

from database_backup import contents, files, lock, words
from database_backup.errors import BackupError, FailedError, RefusedError
from database_backup.physical import chains, looking, restoring, side, state
from database_backup.physical.chains import Target
from database_backup.physical.settings import Settings
from database_backup.physical.side import Side
from database_backup.server import Session, command, environment, shown

NAME = "restore_test"
SNAPSHOT = "SELECT to_json(pg_current_snapshot()::text);"
# No transaction that writes was under way: what a snapshot sees is what WAL has up to here.
TRIES = 400
PAUSE = 0.02
# Of rows, where writers never paused: what came and went within a moment.
SLACK_ROWS, SLACK_SHARE = 1000, 0.01


def restore_test(settings: Settings) -> dict[str, Any]:
    """Reads the repository through, marks a moment, restores it and checks it; removes all that it made.

    Raises RefusedError when it could not be tried, FailedError when a backup is no good; both are marked.
    """
    with lock.held(settings.folder / restoring.LOCK, f"a restore of {settings.stanza}") as descriptor:
        record = {"at": "", "file": "", "bytes": 0, "sha256": "", "detail": ""}
        try:
            side.sweep(settings)
            result = _tested(settings, descriptor)
        except (BackupError, OSError) as failure:
            tried = not isinstance(failure, RefusedError)
            said = f"The restore test at {files.utc_now()} {'failed' if tried else 'was refused'}: {failure}"
            files.mark(settings.folder, files.RESTORE_TEST, record, said, tried)
            raise
        good = {"at": files.utc_now(), "file": result["backup"], "sha256": "", "bytes": result["bytes"]}
        files.mark(settings.folder, files.RESTORE_TEST, {**good, "detail": result["detail"]})
    return result


def _tested(settings: Settings, descriptor: int) -> dict[str, Any]:
    checked = looking.verify(settings)
    if not checked["ok"]:
        raise FailedError(
            f"the repository is damaged: {checked['detail']}. docs/runbooks/db-backup-integrity.md"
        )
    marked = mark(settings)
    target = Target("name", marked["name"])
    planned = restoring.planned(settings, target)
    found = Side(settings, NAME)
    result = restoring.perform(settings, found, target, planned, descriptor, quick=True)
    try:
        amcheck(found)
        wrong = differences(found, marked)
    finally:
        found.remove()
    if wrong:
        raise FailedError(
            f"{planned['backup']} was restored to {marked['name']} and is not what was there: {' '.join(wrong)}"
        )
    how = (
        "as they were counted"
        if marked["exact"]
        else "as many as were counted beside writers that never paused"
    )
    detail = (
        f"{planned['backup']} to {marked['at']}: {words.rows(marked['tables'])}, {how}, every index and page checked, "
        f"in {result['seconds']} s; {checked['detail']}."
    )
    return {**planned, **result, "detail": detail, "exact": marked["exact"], "tables": marked["tables"]}


def mark(settings: Settings) -> dict[str, Any]:
    """Counts the live rows in one snapshot, and sets a restore point where no writer was under way since.

    {"name", "at", "tables", "exact"}; exact is False where writers never paused.
    """
    name = f"slipway-test-{files.utc_now().replace(':', '')}"
    with Session(settings.server(), settings.database, "restore test") as counted, Session(
        settings.server(), settings.database, "restore test"
    ) as session:  # fmt: skip
        exact = False
        for _ in range(TRIES):
            counted.ask("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;")
            (before,) = counted.rows(SNAPSHOT)
            oldest, following, *_ = before.split(":")
            # A restore point that is not the one is a line of WAL, and no more.
            session.ask("SELECT pg_create_restore_point(:'point');", point=name)
            (after,) = session.rows(SNAPSHOT)
            exact = before == after and oldest == following
            if exact:
                break
            counted.ask("ROLLBACK;")
            name = f"{name.rpartition('+')[0] or name}+{time.monotonic_ns() % 10**9}"
            time.sleep(PAUSE)
        else:
            counted.ask("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;")
            session.ask("SELECT pg_create_restore_point(:'point');", point=name)
        seconds = time.time()
        session.ask(state.SWITCHED)
        tables = contents.read(counted)["tables"]
        counted.ask("ROLLBACK;")
    found = {"name": name, "at": chains.moment(seconds), "seconds": seconds, "reason": "restore test"}
    state.remember(settings, state.POINTS, name, found)
    counted_then = {**found, "tables": tables, "exact": exact}
    files.write_whole(settings.folder / state.COUNTED, counted_then)
    return counted_then


def amcheck(found: Side) -> None:
    """Every table and index of every database, read and checked. Raises FailedError with what is wrong."""
    where = found.settings.server(found.socket, int(found.about["port"]))
    done = subprocess.run(
        command(where, "pg_amcheck", "--all", "--install-missing", "--heapallindexed"),
        env=environment(where, "restore test"), capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise FailedError(f"what was restored is damaged: {shown(done.stdout + done.stderr)}")


def differences(found: Side, marked: dict[str, Any]) -> list[str]:
    """Tables whose rows are not as many as were counted; a sentence each."""
    where = found.settings.server(found.socket, int(found.about["port"]))
    with Session(where, found.settings.database, "restore test") as session:
        tables = contents.read(session)["tables"]
    wrong = []
    for name in sorted({*tables, *marked["tables"]}):
        had, has = marked["tables"].get(name), tables.get(name)
        slack = 0 if marked["exact"] else SLACK_ROWS + SLACK_SHARE * (had or 0)
        if had is None or has is None or abs(had - has) > slack:
            wrong.append(
                f"{name} has {has if has is not None else 'no'} rows, and had {had if had is not None else 'none'}."
            )
    return wrong
