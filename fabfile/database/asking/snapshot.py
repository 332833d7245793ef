"""One section read in one snapshot: each query once, each failure its own, and nothing unread that passes for right."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import errors, sql

from fabfile.database import texts
from fabfile.database.asking import queries
from fabfile.database.checks.judging import About, Check, command_of, runbook
from fabfile.database.findings import Finding, Level, Section, Table

BEGIN = b"BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
TIMEOUT_MS = 2_000


def section(
    connection: psycopg.Connection[Any],
    about: About,
    name: str,
    checks: Sequence[Check],
    timeout_ms: int = TIMEOUT_MS,
    more: Callable[[], Sequence[Check]] = tuple,
) -> Section:
    """The section, judged. more: checks that depend on what is installed, asked in the same snapshot.
    A check that could not be read is UNKNOWN; one connection lost ends only this section.
    """
    began = time.monotonic()
    read: dict[str, list[Any]] = {}
    unread: dict[str, str] = {}
    problem = ""
    try:
        connection.execute(BEGIN + f"; SET LOCAL statement_timeout = {timeout_ms}".encode())
        checks = (*checks, *more())
        schema = sql.Identifier(about.schema or about.database)
        wanted = {
            query: (kind, {"schema": schema, **check.parts})
            for check in checks
            for query, kind in check.queries
        }
        for query, (kind, parts) in wanted.items():
            _read(connection, query, kind, parts, read, unread)
    except psycopg.OperationalError as failure:
        problem = f"the connection was lost: {_said(failure)}"
    finally:
        _end(connection)
    said: list[Finding | Table] = []
    for check in checks:
        said += _judged(about, check, read, unread, problem)
    findings = tuple(item for item in said if isinstance(item, Finding))
    tables = tuple(item for item in said if isinstance(item, Table))
    slow = [query for query, why in unread.items() if why == TOO_SLOW]
    problem = problem or (
        f"{', '.join(slow)} took longer than {timeout_ms / 1000:g} s and was given up" if slow else ""
    )
    return Section(name, findings, tables, time.monotonic() - began, problem)


TOO_SLOW = "it took too long and was given up"
NOT_GRANTED = "the role that looks lacks a right: "
GRANTING = "ansible-playbook -i inventory/ENV playbooks/database.yml"


def _read(
    connection: psycopg.Connection[Any],
    query: str,
    kind: type,
    parts: Mapping[str, sql.Composable],
    read: dict[str, list[Any]],
    unread: dict[str, str],
) -> None:
    connection.execute(b"SAVEPOINT one")
    try:
        read[query] = queries.rows(connection, kind, query, None, queries.FOLDER, **parts)
    except errors.QueryCanceled:
        unread[query] = TOO_SLOW
    except errors.InsufficientPrivilege as failure:
        unread[query] = NOT_GRANTED + _said(failure)
    except psycopg.OperationalError as failure:
        if connection.broken:
            raise
        unread[query] = _said(failure)
    except psycopg.Error as failure:
        unread[query] = _said(failure)
    if query in unread:
        connection.execute(b"ROLLBACK TO SAVEPOINT one")


def _judged(
    about: About, check: Check, read: dict[str, list[Any]], unread: dict[str, str], problem: str
) -> list[Finding | Table]:
    if check.monitor and not about.monitor:
        reason = "the role is no member of pg_monitor, so what it sees is not all there is"
        return [_unknown(check, reason, command_of(about, GRANTING))]
    for query, _ in check.queries:
        if query not in read:
            reason = unread.get(query) or problem
            command = GRANTING if reason.startswith(NOT_GRANTED) else "fab db-activity"
            return [_unknown(check, reason, command_of(about, command))]
    return list(check.judge(about, *(read[query] for query, _ in check.queries)))


def _unknown(check: Check, reason: str, command: str) -> Finding:
    return Finding(
        check.name, Level.UNKNOWN, f"{check.name} is not known: {reason}.", command, runbook(check.name)
    )


def _said(failure: psycopg.Error) -> str:
    return texts.plain(failure.diag.message_primary or str(failure) or type(failure).__name__, 200)


def _end(connection: psycopg.Connection[Any]) -> None:
    if not connection.broken:
        try:
            connection.execute(b"ROLLBACK")
        except psycopg.Error:
            connection.close()
