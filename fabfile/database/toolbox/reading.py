"""Reading for the toolbox: a query's file, its rows as a table with safe texts, PostgreSQL's errors as sentences."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from psycopg import errors, sql

from fabfile.database import texts
from fabfile.database.asking import queries
from fabfile.database.findings import Table
from fabfile.errors import FabError

FOLDER = Path(__file__).parent / "sql"
# Columns that hold the parts of a name, as arrays; and those that hold a statement.
NAMES = frozenset(("table", "index", "same as", "references", "sequence"))
STATEMENTS = frozenset(("query", "definition"))


class UnreadError(FabError):
    """The database did not answer; nothing was changed. The exit code is that of a level nobody can see."""

    exit_code = 3


@contextmanager
def sentences(what: str) -> Iterator[None]:
    """PostgreSQL's errors in words: what could not be read, why, what to type."""
    try:
        yield
    except errors.QueryCanceled:
        raise UnreadError(
            f"{what} was not read in time; nothing was changed. Type: fab db-activity"
        ) from None
    except errors.LockNotAvailable:
        raise UnreadError(
            f"{what} was not read: another session holds a lock on a table it looks at. Nothing was changed. "
            "Type: fab db-locks"
        ) from None
    except errors.InsufficientPrivilege as failure:
        raise UnreadError(
            f"{what} was not read: {said(failure)}. Nothing was changed. Is the host as the inventory has it? "
            "Type: ansible-playbook -i inventory/ENV playbooks/database.yml --check --diff"
        ) from None
    except psycopg.OperationalError as failure:
        raise UnreadError(
            f"{what} was not read: the connection ended ({said(failure)}). Nothing was changed. Type: fab db-status"
        ) from None


def said(failure: psycopg.Error) -> str:
    """The error's first line, safe to show."""
    text = failure.diag.message_primary or str(failure).strip().partition("\n")[0] or type(failure).__name__
    return texts.plain(text, 300)


def composed(connection: psycopg.Connection[Any], name: str, **parts: sql.Composable) -> sql.Composed:
    """The text of one of the toolbox's queries (see queries.composed)."""
    return queries.composed(connection, name, FOLDER, **parts)


rows = partial(queries.rows, folder=FOLDER)


def table(
    connection: psycopg.Connection[Any],
    title: str,
    name: str,
    values: Mapping[str, object] | None = None,
    **parts: sql.Composable,
) -> Table:
    """The query's rows as a table; its columns are named in the query, and every text in it is safe to show."""
    with connection.cursor() as cursor:
        cursor.execute(composed(connection, name, **parts), values or {})
        columns = tuple(column.name for column in cursor.description or ())
        found = cursor.fetchall()
    return Table(title, columns, tuple(tuple(map(_safe, columns, row)) for row in found))


def _safe(column: str, value: object) -> object:
    if isinstance(value, list):
        parts = [str(part) for part in value if part is not None]
        return ".".join(map(texts.name, parts)) if column in NAMES else ", ".join(map(texts.name, parts))
    if isinstance(value, str):
        return texts.query(value) if column in STATEMENTS else texts.plain(value)
    return value


def as_json(tables: Sequence[Table], **more: object) -> str:
    """The tables as one JSON object: each title with a list of rows. Durations are seconds, moments ISO 8601."""
    shown = {each.title: [dict(zip(each.columns, row, strict=True)) for row in each.rows] for each in tables}
    return json.dumps({"version": 1, **more, "tables": shown}, default=_plain_value, indent=2)


def _plain_value(value: object) -> object:
    match value:
        case timedelta():
            return value.total_seconds()
        case datetime() | date():
            return value.isoformat()
        case Decimal():
            return float(value)
    return texts.plain(value)
