"""Findings on a revision's SQL: squawk's, and one of ours that squawk does not know."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabfile.errors import FabError
from fabfile.migration import statements
from fabfile.migration.statements import Effect
from fabfile.schema import Revision

# What squawk is not asked, and why.
NOT_ASKED = {
    "require-lock-timeout": "the migrator sets it for its whole session",
    "require-statement-timeout": "a long build is cut by the unit's own limit, and holds nothing that others wait for",
    "ban-concurrent-index-creation-in-transaction": "the server refuses it there; the SQL shows no transactions",
    "prefer-text-field": "a matter of taste: a longer varchar is a moment's work since PostgreSQL 9.2",
    "prefer-bigint-over-int": "counters of pieces and versions stay small, and checks say so",
    "prefer-bigint-over-smallint": "a status of HTTP has three digits",
    "ban-char-field": "a code of ISO 4217 has three letters, always",
}
# What a contracting revision is there for.
CONTRACTS_MAY = frozenset(
    (
        "ban-drop-column",
        "ban-drop-table",
        "ban-drop-not-null",
        "renaming-column",
        "renaming-table",
        "changing-column-type",
    )
)
CHANGES_ROWS = "changes-rows"
ASKS_DATABASE = "asks-the-database"
SEVERAL_STATEMENTS = "several-statements-at-once"
HIDES_ROWS = "row-level-security"
TWO_TABLES = "locks-several-tables"
LONGEST_SHOWN = 160
OLDEST_SERVER = "14.0"


@dataclass(frozen=True)
class Problem:
    """One finding. rule: the name a waiver gives. line: counted from 1 in the revision's SQL, 0 for all of it."""

    revision: str
    rule: str
    sentence: str
    line: int = 0


def problems(revision: Revision, sql: str) -> list[Problem]:
    """What is wrong with a revision for a database in use. Raises FabError when squawk cannot be run."""
    if reason := statements.unknown(sql):
        return [
            Problem(
                revision.id,
                ASKS_DATABASE,
                f"It asks the database while it is applied, so what it sends cannot be shown or judged ({reason}). "
                "Write it without, for example with ADD COLUMN IF NOT EXISTS.",
            )
        ]
    found = [
        Problem(revision.id, one["rule_name"], _sentence(one), one["line"] + 1)
        for one in _squawk(sql)
        if not (revision.kind != "expand" and one["rule_name"] in CONTRACTS_MAY)
    ]
    effects = statements.effects(sql)
    found += _beyond_squawk(revision, sql, effects)
    for effect in effects:
        if effect.effect == statements.CHANGES_ROWS:
            found.append(
                Problem(
                    revision.id,
                    CHANGES_ROWS,
                    f"It changes rows of {effect.table} in one transaction, which keeps each of them locked until its "
                    "end. Declare a backfill instead.",
                )
            )
    return found


def _beyond_squawk(revision: Revision, sql: str, effects: list[Effect]) -> list[Problem]:
    found = [
        Problem(
            revision.id,
            SEVERAL_STATEMENTS,
            "One op.execute holds several statements, and the server takes one at a time: the revision would fail "
            f"while it is applied. Write an op.execute for each: {' '.join(piece.split())[:LONGEST_SHOWN]}",
        )
        for piece in statements.sent_together(sql)
    ]
    found += [
        Problem(
            revision.id,
            HIDES_ROWS,
            f"It switches row-level security on for {table}: from then on the backups' role cannot read it, and every "
            "dump fails. Let that role bypass it first: ALTER ROLE slipway_backup BYPASSRLS.",
        )
        for table in statements.hides_rows(sql)
    ]
    locked = dict.fromkeys(effect.table for effect in effects if effect.lock == statements.ALL)
    if len(locked) > 1:
        found.append(
            Problem(
                revision.id,
                TWO_TABLES,
                f"It locks {', '.join(locked)} against everybody in one transaction: with a session that holds one of "
                "them and wants the other it deadlocks. Split it into a revision for each table.",
            )
        )
    return found


def _sentence(one: dict[str, Any]) -> str:
    return " ".join(f"{part.rstrip('.')}." for part in (one["message"], one.get("help")) if part)


def _squawk(sql: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("squawk")), "--reporter=json", f"--pg-version={OLDEST_SERVER}",
            "--assume-in-transaction", *(f"--exclude={rule}" for rule in NOT_ASKED),
        ],
        input=sql, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    try:
        return list(json.loads(done.stdout or "[]"))
    except ValueError:
        raise FabError(f"squawk cannot read the migration's SQL: {done.stderr.strip()[-500:]}") from None
