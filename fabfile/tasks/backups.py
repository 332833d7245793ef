"""`fab db-backup`, `db-restore`: on the database host, with the program that its timers run."""

from __future__ import annotations

import json as encoding
import re

from invoke import Context, task

from fabfile.errors import RefusedError
from fabfile.tasks import running
from fabfile.tasks.rollouts import ENV, YES

DATABASE = re.compile(r"[a-z_][a-z0-9_]{0,62}")
BACKUP = re.compile(r"latest|[0-9]{8}T[0-9]{6}Z\.dump")
JSON = "one JSON object instead of sentences"


@task(
    help={
        "env": ENV,
        "keep": "how many backups by hand stay; without it the environment's backups_keep",
        "reason": "what it is for, to be listed with it",
        "yes": YES,
        "json": JSON,
    }
)
def db_backup(
    _context: Context, env: str = "", keep: int = 0, reason: str = "", yes: bool = False, json: bool = False
) -> None:
    """Dump the database on its host, check the dump, and remove the oldest by hand."""
    with running.sentences():
        running.checked("a reason", reason, running.TICKET, "before the autumn sale")
        if not 0 <= keep <= 1000:
            raise RefusedError(f"--keep {keep} is not a number from 1 to 1000. Nothing was changed.")
        environment = running.chosen(env, yes, "Making a backup, which pushes out the oldest,")
        from fabfile.backups import backup

        answer = backup(environment, keep, reason=reason)
        print(encoding.dumps(answer["result"]) if json else answer["message"])


@task(
    help={
        "env": ENV,
        "into": "the scratch database to restore into; never the live one",
        "from": "a backup's file, or latest",
        "list": "name the backups, and do nothing",
        "test": "restore into a new database, check it, drop it",
        "replace": "drop a scratch database of that name first",
        "drop": "drop the scratch database after the check",
        "yes": YES,
        "json": JSON,
    }
)
def db_restore(
    _context: Context,
    env: str = "",
    into: str = "",
    from_: str = "latest",
    list: bool = False,
    test: bool = False,
    replace: bool = False,
    drop: bool = False,
    yes: bool = False,
    json: bool = False,
) -> None:
    """Restore a backup into a database beside the live one, and check that it holds what was dumped."""
    with running.sentences():
        if [bool(into), list, test].count(True) != 1:
            raise RefusedError(
                "Say one of --into NAME (a database beside the live one), --test (a new one, dropped after the check) "
                "and --list. Nothing was changed."
            )
        running.checked("a name for a scratch database", into, DATABASE, "scratch")
        running.checked("a backup", from_, BACKUP, "latest or 20261123T023000Z.dump")
        environment = running.chosen(env, yes or list or test, "Restoring")
        from fabfile import backups

        answer = (
            backups.listed(environment) if list else backups.restore(environment, into, from_, replace, drop)
        )
        print(encoding.dumps(answer["result"]) if json else answer["message"])
