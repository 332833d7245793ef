"""`fab db-locks`, `db-top`, `db-bloat`, `db-indexes`, `db-sizes`: tables and a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from fabfile.database.findings import Table
from fabfile.database.toolbox import reading
from fabfile.errors import RefusedError

MEASURES = {
    "total": sql.SQL("s.total_exec_time"),
    "mean": sql.SQL("s.mean_exec_time"),
    "calls": sql.SQL("s.calls"),
    "io": sql.SQL("(s.shared_blks_read + s.temp_blks_read + s.temp_blks_written)"),
}

# Of tables, and of indexes, read in one look: some three seconds.
MOST_PAGES = 300_000


@dataclass(frozen=True)
class Reading:
    """note: what has to be known to read the tables."""

    tables: tuple[Table, ...]
    note: str = ""


@dataclass(frozen=True)
class Installed:
    """Where an extension's functions and views are."""

    schema: str


def locks(connection: psycopg.Connection[Any], everything: bool, limit: int) -> Reading:
    """What is waited for with its holders and waiters, and strong locks; with everything, every lock."""
    with reading.sentences("The locks"):
        found = reading.table(connection, "Locks", "locks", {"all": everything, "limit": limit})
    waiting = sum(row[0] == "waits" for row in found.rows)
    note = (
        f"{waiting} {'session waits' if waiting == 1 else 'sessions wait'} for a lock."
        if waiting
        else "Nobody waits for a lock."
    )
    return Reading((found,), note)


def top(connection: psycopg.Connection[Any], measure: str, limit: int) -> Reading:
    """The costliest statements. Raises RefusedError for another measure, or without pg_stat_statements."""
    if measure not in MEASURES:
        raise RefusedError(f"--by {measure} is none of {', '.join(MEASURES)}. Nothing was read.")
    statements = sql.Identifier(required(connection, "pg_stat_statements"), "pg_stat_statements")
    with reading.sentences("pg_stat_statements"):
        found = reading.table(
            connection,
            f"Statements by {measure}",
            "top",
            {"limit": limit},
            statements=statements,
            measure=MEASURES[measure],
        )
    return Reading((found,), "A plan: fab db-explain --query-id ID")


def required(connection: psycopg.Connection[Any], extension: str) -> str:
    """The extension's schema. Raises RefusedError when it is not installed."""
    schema = installed(connection, extension)
    if schema is None:
        raise RefusedError(
            f"The database has no extension {extension}, so there is nothing to read. The role postgresql creates "
            "it: ansible-playbook -i inventory/ENV playbooks/database.yml. Nothing was changed."
        )
    return schema


def installed(connection: psycopg.Connection[Any], extension: str) -> str | None:
    """The schema of an extension, None when this database does not have it."""
    with reading.sentences(f"Whether {extension} is installed"):
        found = reading.rows(connection, Installed, "statements_schema", {"extension": extension})
    return found[0].schema if found else None


def bloat(connection: psycopg.Connection[Any], limit: int) -> Reading:
    """Room that holds no row, measured; what would take too long has none. Raises RefusedError without pgstattuple."""
    schema = required(connection, "pgstattuple")
    tables, trees = (sql.Identifier(schema, name) for name in ("pgstattuple_approx", "pgstatindex"))
    values = {"limit": limit, "budget": MOST_PAGES}
    with reading.sentences("The bloat"):
        found = (
            reading.table(connection, "Tables", "bloat_measured", values, measure=tables),
            reading.table(connection, "Indexes", "bloat_indexes", values, measure=trees),
        )
    left = sum(row[at] is None for table, at in zip(found, (2, 3), strict=True) for row in table.rows)
    note = f" {left} without a number would take too long; they stand first." if left else ""
    return Reading(found, f"Measured by pgstattuple.{note}")


def indexes(connection: psycopg.Connection[Any], limit: int) -> Reading:
    """Indexes that are invalid, unused or needless, and foreign keys that have none."""
    with reading.sentences("The indexes"):
        return Reading(
            (
                reading.table(connection, "Invalid: drop them, and build them again", "indexes_invalid"),
                reading.table(connection, "Needless beside another", "indexes_duplicate", {"limit": limit}),
                reading.table(connection, "Foreign keys without one", "indexes_missing", {"limit": limit}),
                reading.table(connection, "Never used", "indexes_unused", {"limit": limit}),
            ),
            "Never used means on this server, since its statistics were reset: a standby's queries are not counted.",
        )


def sizes(connection: psycopg.Connection[Any], limit: int) -> Reading:
    """The sizes of databases, tables and indexes."""
    with reading.sentences("The sizes"):
        return Reading(
            (
                reading.table(connection, "Databases", "sizes_databases"),
                reading.table(connection, "Tables", "sizes_tables", {"limit": limit}),
                reading.table(connection, "Indexes", "sizes_indexes", {"limit": limit}),
            )
        )
