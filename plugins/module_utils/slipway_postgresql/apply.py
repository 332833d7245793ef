"""Run a plan: everything that can share a transaction does."""

from __future__ import annotations

from typing import Any

from .connection import Server, StatementError, UnreachableError
from .health import Health
from .plan import Plan, plan
from .plan_cluster import QUIET
from .plan_inside import plan_inside
from .reading import MAINTENANCE_DATABASE, read, read_database
from .statements import Statement


class ApplyError(Exception):
    """It could not be finished; the message says at what, what was rolled back and what stays."""


class Progress:
    """Runs stages and remembers the labels of what is committed."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.done: list[str] = []

    def run(self, database: str, statements: list[Statement], transaction: bool = True) -> None:
        if not statements:
            return
        try:
            self.server.execute(database, [statement.sql for statement in statements], transaction)
        except StatementError as error:
            labels = [statement.label or "prepare the session" for statement in statements] + ["commit"]
            undone = f" The {len(statements)} statements of its transaction were rolled back."
            failed = f"Could not {labels[min(error.index, len(statements))]}: {error.message}."
            raise self.failure(failed + (undone if transaction else "")) from None
        except UnreachableError as error:
            what = f"{len(statements)} statements in {database}"
            lost = f"The connection was lost during {what}: {error.reason}."
            raise self.failure(f"{lost} Whether those were committed is not known.") from None
        self.done += [statement.label for statement in statements if statement.label]

    def read(self, database: str, wanted: dict[str, Any]) -> dict[str, Any]:
        try:
            return read_database(self.server, database, wanted)
        except (StatementError, UnreachableError) as error:
            raise self.failure(f"Database {database} could not be read: {error}.") from None

    def failure(self, what: str) -> ApplyError:
        kept = f"Committed before that: {'; '.join(self.done)}." if self.done else "Nothing was changed."
        return ApplyError(
            f"{what} {kept} Mend the cause and run the same again; it goes on from what is there."
        )


def with_quiet(passwords: list[Statement]) -> list[Statement]:
    """`passwords` after what keeps verifiers out of the log; to come last, for it lasts to the commit."""
    return [*(Statement("", f"SET LOCAL {setting}") for setting in QUIET), *passwords] if passwords else []


def apply(server: Server, differences: Plan, wanted: dict[str, Any]) -> list[str]:
    """Make `differences` true and return the labels of what was done; raises ApplyError."""
    progress = Progress(server)
    first = differences.before_databases
    last = [*differences.after_databases, *with_quiet(differences.passwords)]
    if differences.new_databases:
        progress.run(MAINTENANCE_DATABASE, first)
        # CREATE DATABASE refuses to run in a transaction.
        for statement in differences.new_databases:
            progress.run(MAINTENANCE_DATABASE, [statement], transaction=False)
        progress.run(MAINTENANCE_DATABASE, last)
    else:
        progress.run(MAINTENANCE_DATABASE, [*first, *last])
    managed = [role["name"] for role in wanted["roles"]]
    for database, statements in differences.inside.items():
        # A new database has what its template had, which only the server knows.
        if database in differences.created:
            statements = plan_inside(database, progress.read(database, wanted), wanted, managed)
        progress.run(database, statements)
    return progress.done


def verify(server: Server, wanted: dict[str, Any]) -> tuple[dict[str, Any], Health]:
    """What is there now; raises ApplyError if that still differs from `wanted`."""
    try:
        current, health = read(server, wanted)
    except (StatementError, UnreachableError) as error:
        raise ApplyError(f"Everything was run and committed, but could not be read again: {error}.") from None
    labels = plan(current, wanted).labels
    if labels:
        raise ApplyError(
            f"Everything was run and committed, but the server still differs: {'; '.join(labels)}. Another "
            f"session may be changing the same things, or a privilege was granted by someone other than the "
            f"owner (psql: \\dp, \\dn+, \\l show the grantor after the slash)."
        )
    return current, health
