"""`fab db-explain`: the plan of a statement, from pg_stat_statements or a file, without changing a row."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from pglast.parser import ParseError, parse_sql_json
from psycopg import errors, sql

from fabfile.database import texts
from fabfile.database.toolbox import reading
from fabfile.database.toolbox.readings import required
from fabfile.errors import RefusedError

KINDS = frozenset(("SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"))
# What makes even a SELECT write or lock rows.
WRITES = KINDS - {"SelectStmt"} | {"intoClause", "lockingClause"}
QUERY_ID = re.compile(r"-?[0-9]{1,19}")
SECONDS = 15
LARGEST = 1_000_000


@dataclass(frozen=True)
class Statement:
    """One statement that can be explained. parameters: how many $1, $2 ... it has."""

    text: str
    parameters: int
    writes: bool


@dataclass(frozen=True)
class Kept:
    """What pg_stat_statements keeps of a statement."""

    query: str


def parsed(text: str) -> Statement:
    """The one statement of a text. Raises RefusedError for none, several, or one that has no plan."""
    try:
        tree = json.loads(parse_sql_json(text))
    except ParseError as failure:
        raise RefusedError(
            f"The statement cannot be read: {texts.plain(failure.args[0], 200)}. pg_stat_statements puts $1 where "
            "values were, and some forms do not allow that: put a value there, in a file. Nothing was run."
        ) from None
    statements = [each["stmt"] for each in tree.get("stmts", [])]
    if len(statements) != 1:
        raise RefusedError(
            f"The text holds {len(statements)} statements, and one can be explained. Nothing was run."
        )
    kind = next(iter(statements[0]))
    if kind not in KINDS:
        raise RefusedError(
            f"A statement such as this one ({kind.removesuffix('Stmt')}) has no plan. Nothing was run."
        )
    return Statement(text.strip().rstrip(";"), _parameters(statements[0]), _writes(statements[0]))


def _parameters(node: Any) -> int:
    if isinstance(node, dict):
        here = int(node["ParamRef"].get("number", 0)) if "ParamRef" in node else 0
        return max([here, *map(_parameters, node.values())])
    return max(map(_parameters, node), default=0) if isinstance(node, list) else 0


def _writes(node: Any) -> bool:
    if isinstance(node, dict):
        return bool(WRITES & node.keys()) or any(map(_writes, node.values()))
    return isinstance(node, list) and any(map(_writes, node))


def kept(connection: psycopg.Connection[Any], query_id: str) -> str:
    """The text that pg_stat_statements keeps under an id. Raises RefusedError when it has none."""
    if not QUERY_ID.fullmatch(query_id) or not -(2**63) <= int(query_id) < 2**63:
        raise RefusedError(f"{query_id!r} is no query id; fab db-top shows them. Nothing was read.")
    statements = sql.Identifier(required(connection, "pg_stat_statements"), "pg_stat_statements")
    with reading.sentences("pg_stat_statements"):
        found = reading.rows(connection, Kept, "statement", {"id": int(query_id)}, statements=statements)
    if not found:
        raise RefusedError(
            f"pg_stat_statements keeps no statement {query_id} of this database: fab db-top shows them."
        )
    return found[0].query


def plan(connection: psycopg.Connection[Any], statement: Statement, analyze: bool) -> str:
    """The plan's lines. With analyze the statement is run, in a transaction that can write nothing.

    With parameters it is the generic plan, the one for any value. Raises RefusedError or UnreadError.
    """
    if analyze and (statement.writes or statement.parameters):
        why = "writes or locks rows" if statement.writes else "has parameters, and no values to run it with"
        raise RefusedError(
            f"--analyze runs the statement, and this one {why}. Nothing was run; leave --analyze out."
        )
    # One text goes as one prepared statement, so the server itself refuses a second one behind it.
    text = sql.SQL(statement.text)
    options = sql.SQL("ANALYZE, BUFFERS, TIMING" if analyze else "COSTS, VERBOSE")
    with (
        reading.sentences("The plan"),
        _denials(connection.info.user),
        connection.transaction(force_rollback=True),
    ):
        connection.execute("SET TRANSACTION READ ONLY")
        connection.execute(sql.SQL("SET LOCAL statement_timeout = {}").format(f"{SECONDS}s"))
        if not statement.parameters:
            found = connection.execute(sql.SQL("EXPLAIN ({}) {}").format(options, text), prepare=True)
            return _lines(found.fetchall())
        connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        connection.execute(sql.SQL("PREPARE slipway_explained AS {}").format(text), prepare=True)
        try:
            nulls = sql.SQL(", ").join([sql.SQL("NULL")] * statement.parameters)
            found = connection.execute(
                sql.SQL("EXPLAIN ({}) EXECUTE slipway_explained ({})").format(options, nulls)
            )
            return _lines(found.fetchall())
        finally:
            if connection.info.transaction_status is psycopg.pq.TransactionStatus.INTRANS:
                connection.execute("DEALLOCATE slipway_explained")


@contextmanager
def _denials(role: str) -> Iterator[None]:
    """Turns what the server refuses of this one statement into what can be done about it."""
    try:
        yield
    except errors.InsufficientPrivilege as failure:
        raise RefusedError(
            f"{role} may not explain it: {reading.said(failure)}. A plan needs the statement's own rights, and who "
            "looks may only read. For what writes, explain a SELECT with the same WHERE. Nothing was run."
        ) from None
    except errors.ReadOnlySqlTransaction as failure:
        raise RefusedError(f"It would write: {reading.said(failure)}. Nothing was changed.") from None
    except errors.QueryCanceled:
        raise reading.UnreadError(f"It ran for {SECONDS} s and was stopped. Nothing was changed.") from None
    except (psycopg.ProgrammingError, psycopg.DataError, psycopg.NotSupportedError) as failure:
        raise RefusedError(
            f"PostgreSQL cannot plan it: {reading.said(failure)}. Where a parameter's type cannot be told, write "
            "$1::type in a file. Nothing was run."
        ) from None


def _lines(rows: list[Any]) -> str:
    # The indentation is the tree.
    lines = [str(row[0]) for row in rows]
    return "\n".join(" " * (len(line) - len(line.lstrip(" "))) + texts.plain(line) for line in lines)
