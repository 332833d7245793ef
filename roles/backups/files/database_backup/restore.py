"""A restore into a database beside the live one, and proof that it holds what was dumped."""

from __future__ import annotations

import re
import tempfile
import time
from datetime import datetime, timezone
from typing import Any

from database_backup import contents, files, lock, words
from database_backup.errors import BackupError, FailedError, RefusedError
from database_backup.server import Session, run
from database_backup.settings import Settings

LOCK = ".restore.lock"
MAINTENANCE = "postgres"
NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
OF_THE_SERVER = ("postgres", "template0", "template1")
TEST = "restore_test_"
TESTED = re.compile(r"restore_test_[0-9]{8}t[0-9]{6}z")
# A restored database is laid out anew, and its indexes are sorted in files first.
NEEDED = 1.2
EXTENSION = re.compile(r"^\d+; \d+ \d+ (?:EXTENSION|COMMENT) - (?:EXTENSION )?(?P<name>\S+)")
PUBLIC = re.compile(r"^\d+; \d+ \d+ (?:SCHEMA - public|COMMENT - SCHEMA public) ")
EVENT_TRIGGER = re.compile(r"^\d+; \d+ \d+ EVENT TRIGGER - (?P<name>\S+)")
BARRED = "SELECT to_json(name::text) FROM pg_available_extension_versions WHERE superuser AND NOT trusted;"
THERE = "SELECT to_json(pg_get_userbyid(datdba)::text) FROM pg_database WHERE datname = :'name';"
CREATE = (
    "CREATE DATABASE :\"name\" TEMPLATE template0 ENCODING :'encoding' LC_COLLATE :'collate' LC_CTYPE :'ctype'"
    "@locale@;\n"
    'REVOKE ALL ON DATABASE :"name" FROM PUBLIC;'
)
# Who sorts, where it is not the C library: servers from 15 and from 17 on have others.
PROVIDERS = {
    "i": " LOCALE_PROVIDER icu ICU_LOCALE :'locale'",
    "b": " LOCALE_PROVIDER builtin BUILTIN_LOCALE :'locale'",
}
DROP = 'DROP DATABASE :"name";'
OURS = "SELECT to_json(datname::text) FROM pg_database WHERE pg_get_userbyid(datdba) = current_user;"


def restore(settings: Settings, into: str, source: str, replace: bool, drop: bool) -> dict[str, Any]:
    """Restores a backup (its file's name, or latest) into a database of its own and checks it there.

    Raises RefusedError before anything changed, FailedError for a dump that is altered or does not hold what it should.
    """
    _refuse_a_name(settings, into)
    with lock.held(settings.folder / LOCK, "a restore") as descriptor:
        record = files.chosen(settings.folder, source)
        try:
            result = _restored(settings, record, into, replace, drop, descriptor)
        except BackupError as failure:
            # A wish that was refused says nothing of the backup; a test that could not be made says it was not tested.
            if isinstance(failure, FailedError) or TESTED.fullmatch(into):
                tried = not isinstance(failure, RefusedError)
                how = "failed" if tried else "was refused"
                said = f"The restore of {record['file']} at {files.utc_now()} {how}: {failure}"
                files.mark(settings.folder, files.RESTORE_TEST, record, said, tried)
            raise
        now = {"at": files.utc_now(), "detail": result["detail"]}
        files.mark(settings.folder, files.RESTORE_TEST, record | now)
    return result


def test(settings: Settings, source: str) -> dict[str, Any]:
    """Restores into a database that nobody has, checks it, and drops it. Sweeps those of tests that were killed."""
    name = f"{TEST}{datetime.now(timezone.utc).strftime(files.MOMENT).lower()}"
    with lock.held(settings.folder / LOCK, "a restore"), Session(settings, MAINTENANCE, "restore") as session:
        for left in session.rows(OURS):
            if TESTED.fullmatch(left):
                session.ask(DROP, name=left)
    return restore(settings, name, source, replace=False, drop=True)


def _refuse_a_name(settings: Settings, into: str) -> None:
    if into == settings.database or into in OF_THE_SERVER:
        whose = "the live database" if into == settings.database else "the server's own"
        raise RefusedError(
            f"{into} is not restored into: it is {whose}. Nothing was changed. "
            "Restore beside it, as in: fab db-restore --into scratch"
        )
    if not NAME.fullmatch(into):
        raise RefusedError(
            f"{into!r} is no name for a database here: one begins with a lower-case letter or _, and holds lower-case "
            "letters, digits and _, 63 at most. Nothing was changed."
        )


def _restored(
    settings: Settings, record: dict[str, Any], into: str, replace: bool, drop: bool, descriptor: int
) -> dict[str, Any]:
    began = time.monotonic()
    room, needed = files.free(settings.data), record["database_bytes"] * NEEDED
    if room < needed:
        raise RefusedError(
            f"The disk of {settings.data}, where the live database lies too, has {words.size(room)} free, and "
            f"restoring {record['file']} may need {words.size(needed)}. Nothing was changed. Free some first."
        )
    path = files.checked(settings.folder, record)
    with path.open("rb") as dump, Session(settings, MAINTENANCE, "restore") as session:
        _create(session, record, into, replace)
        try:
            # By its descriptor: a backup that is pruned meanwhile is restored all the same.
            left_out = _load(
                settings, session, f"/proc/self/fd/{dump.fileno()}", into, [dump.fileno(), descriptor]
            )
            with Session(settings, into, "restore check") as restored:
                wrong = contents.differences(record, restored)
        except FailedError as failure:
            state = _end(session, into, drop)
            raise FailedError(
                f"{record['file']} could not be restored into {into}: {failure}. {state}"
            ) from None
        state = _end(session, into, drop)
    if wrong:
        raise FailedError(
            f"{record['file']} was restored and is not what was dumped: {' '.join(wrong)} {state}"
        )
    seconds = round(time.monotonic() - began, 2)
    checked = record["constraints"]["validated"]
    detail = (
        f"{record['file']}: {words.rows(record['tables'])}, {checked} constraints and {record['indexes']['valid']} "
        f"indexes as they were dumped, schema {record['revision'] or 'without a revision'}, in {seconds} s."
    )
    return {"file": record["file"], "into": into, "dropped": drop, "seconds": seconds, "left_out": left_out,
            "tables": record["tables"], "detail": detail, "state": state}  # fmt: skip


def _create(session: Session, record: dict[str, Any], into: str, replace: bool) -> None:
    owners = session.rows(THERE, name=into)
    if owners and owners[0] != session.settings.user:
        raise RefusedError(
            f"The database {into} is there already and belongs to {owners[0]}: it was not made by a restore. "
            "Nothing was changed. Choose another name."
        )
    if owners and not replace:
        raise RefusedError(
            f"The database {into} is there already, from a restore before. Nothing was changed. "
            "Choose another name, or add --replace to drop it first."
        )
    if owners:
        session.ask(DROP, name=into)
    how = {"encoding": record["encoding"], "collate": record["lc_collate"], "ctype": record["lc_ctype"]}
    provider = PROVIDERS.get(record.get("provider", "c"), "")
    session.ask(CREATE.replace("@locale@", provider), name=into, locale=record.get("locale", ""), **how)


def _load(settings: Settings, session: Session, path: str, into: str, keeping: list[int]) -> list[str]:
    """Runs pg_restore; returns what was left out because only a superuser may make it."""
    barred, left_out, kept = set(session.rows(BARRED)), [], []
    for line in run(settings, "restore", "pg_restore", "--list", path, keeping=keeping).splitlines():
        extension, trigger = EXTENSION.match(line), EVENT_TRIGGER.match(line)
        if PUBLIC.match(line):
            # Every new database has it.
            continue
        if (extension and extension["name"] in barred) or trigger:
            left_out.append(line.split(";", 1)[1].split(maxsplit=2)[2].strip())
        else:
            kept.append(line)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as chosen:
        chosen.write("\n".join(kept) + "\n")
        chosen.flush()
        run(
            settings, "restore", "pg_restore", "--no-owner", "--no-privileges", "--no-publications",
            "--no-subscriptions", "--exit-on-error", "--no-password", f"--use-list={chosen.name}",
            f"--dbname={into}", path, keeping=keeping,
        )  # fmt: skip
    return left_out


def _end(session: Session, into: str, drop: bool) -> str:
    if not drop:
        return f"The database {into} stays; it is dropped by: fab db-restore --into {into} --replace --drop"
    try:
        session.ask(DROP, name=into)
    except FailedError as failure:
        return f"The database {into} is still there ({failure})."
    return f"The database {into} was dropped again."
