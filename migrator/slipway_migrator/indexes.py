"""Indexes that a revision builds or drops beside the running service: one line each, and safe to run again.

A concurrent build takes SHARE UPDATE EXCLUSIVE: reads and writes of the table go on and never queue behind
it. It waits for every transaction that is older than itself, and what a try given up has built is lost. So
its waits are limited not by the two seconds of other statements but by `retry_seconds`. Alembic
commits what a revision did before a statement outside a transaction: before an index there must be nothing.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from alembic import op
from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError

from slipway_migrator.drivers import sqlstate
from slipway_migrator.errors import RevisionError
from slipway_migrator.lines import say

LEAST_WAIT = 2.0
# When Alembic itself runs a revision, as it does on an engineer's own database.
PATIENCE = 120.0
# The tables, in alembic's options, that this revision's indexes locked: those locks end with each statement.
LOCKED = "locked_beside_the_service"
UNIQUE_VIOLATION = "23505"
LIMIT = text("SELECT set_config('lock_timeout', :wait, false)")
# An empty table of the same columns, which lives in a savepoint: the server says there what is wanted.
COPY, COPY_INDEX = "columns_to_compare", "index_to_compare"
FOUND = text("""
SELECT c.oid, t.relname AS table, i.indisvalid AS valid,
  ARRAY(SELECT pg_get_indexdef(c.oid, n, false) FROM generate_series(1, i.indnkeyatts::int) AS n) AS keys,
  pg_get_expr(i.indpred, t.oid) AS condition,
  (to_jsonb(i) ->> 'indnullsnotdistinct')::boolean IS TRUE AS nulls_equal,
  jsonb_build_array(i.indisunique, a.amname, i.indnkeyatts, i.indclass::text, i.indcollation::text,
    i.indoption::text, pg_get_expr(i.indpred, t.oid), c.reloptions, to_jsonb(i) ->> 'indnullsnotdistinct',
    ARRAY(SELECT pg_get_indexdef(c.oid, n, false) FROM generate_series(1, i.indnatts::int) AS n)
  ) AS definition,
  pg_get_indexdef(c.oid) AS sql, pg_relation_size(c.oid) AS bytes
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_am AS a ON a.oid = c.relam JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relname = :name
""")


@dataclass(frozen=True)
class Found:
    """An index as the server has it. definition: what makes it what it is, without names; keys: as SQL."""

    oid: int
    table: str
    valid: bool
    keys: list[str]
    condition: str | None
    nulls_equal: bool
    definition: list[Any]
    sql: str
    bytes: int


def create_index_concurrently(
    name: str, table: str, columns: Sequence[str | TextClause], *, unique: bool = False, **options: Any
) -> None:
    """Build an index while the service works; what a build that died left is removed first.

    columns and options: as alembic's create_index takes them (postgresql_where, postgresql_using, …). An
    index of this name and definition that is there already is left alone. Raises RevisionError for one of
    another definition, for duplicates under a unique index, and after a statement that changed something.
    """

    def build(name: str, table: str, **more: Any) -> None:
        op.create_index(name, table, list(columns), unique=unique, **options, **more)

    if op.get_context().as_sql:
        build(name, table, postgresql_concurrently=True, if_not_exists=True)
        return
    _require_nothing_before(name)
    found = _found_on(name, table)
    if found is not None and found.valid:
        _require_the_same(found, name, build)
    with _beside_the_service():
        if found is not None and found.valid:
            say("index_is_there", index=name, table=table)
            return
        if found is not None:
            _drop(name)
            say("unfinished_index_removed", index=name, table=table)
        began = time.monotonic()
        try:
            build(name, table, postgresql_concurrently=True, if_not_exists=True)
        except DBAPIError as error:
            duplicates = _duplicates(name, table) if sqlstate(error) == UNIQUE_VIOLATION else ""
            _remove_unfinished(name)
            if duplicates:
                raise RevisionError(duplicates) from None
            raise
        built = _found_on(name, table)
        if built is None or not built.valid:
            raise RevisionError(
                f"somebody else built the index {name} of {table} at the same time and did not finish. Run "
                "the migration again: it removes what was left."
            )
        _locked(table)
        seconds = round(time.monotonic() - began, 1)
        say("index_built", index=name, table=table, seconds=seconds, bytes=built.bytes)


def drop_index_concurrently(name: str, table: str) -> None:
    """Drop an index while the service works; one that is not there is none to drop. Raises RevisionError."""
    if op.get_context().as_sql:
        _drop(name)
        return
    _require_nothing_before(name)
    found = _found_on(name, table)
    with _beside_the_service():
        if found is not None:
            _drop(name)
            _locked(table)


def _require_nothing_before(name: str) -> None:
    if op.get_bind().scalar(text("SELECT pg_current_xact_id_if_assigned()::text")) is not None:
        raise RevisionError(
            f"the revision changes something before the index {name}, which would be committed although the "
            "revision is not. Put indexes first, or into a revision of their own."
        )


def _found(name: str) -> Found | None:
    row = op.get_bind().execute(FOUND, {"name": name}).mappings().one_or_none()
    return None if row is None else Found(**row)


def _found_on(name: str, table: str) -> Found | None:
    found = _found(name)
    if found is not None and found.table != table:
        raise RevisionError(
            f"there is an index {name} already, of the table {found.table} and not of {table}."
        )
    return found


def _require_the_same(found: Found, name: str, build: Any) -> None:
    with op.get_bind().begin_nested() as savepoint:
        op.execute(f"CREATE TABLE {COPY} (LIKE {_quoted(found.table)})")
        build(COPY_INDEX, COPY)
        wanted = _found(COPY_INDEX)
        savepoint.rollback()
    if wanted is None or wanted.definition != found.definition:
        raise RevisionError(
            f"there is an index {name} already, and it is another one: {found.sql}. Drop it, or give the new "
            "one another name."
        )


@contextmanager
def _beside_the_service() -> Iterator[None]:
    """Outside a transaction, with the long wait that nothing queues behind."""
    context = op.get_context()
    wait = max(LEAST_WAIT, float(context.opts.get("patience", PATIENCE)))
    with context.autocommit_block():
        before = op.get_bind().scalar(text("SELECT current_setting('lock_timeout')"))
        _limit(f"{round(1000 * wait)}ms")
        try:
            yield
        finally:
            _limit(str(before))


def _limit(wait: str) -> None:
    op.get_bind().execute(LIMIT, {"wait": wait})


def _drop(name: str) -> None:
    op.drop_index(name, postgresql_concurrently=True, if_exists=True)


def _locked(table: str) -> None:
    op.get_context().opts.setdefault(LOCKED, set()).add(table)


def _remove_unfinished(name: str) -> None:
    """It goes at once, if nobody is in the way: a unique index that is not finished may refuse rows."""
    try:
        _limit(f"{round(1000 * LEAST_WAIT)}ms")
        _drop(name)
    except DBAPIError as error:
        say("unfinished_index_stays", "warning", index=name, until="the next run", reason=sqlstate(error))


def _duplicates(name: str, table: str) -> str:
    """What a unique index could not hold, without anybody's data; the unfinished one knows its columns."""
    found = _found(name)
    if found is None:
        return ""
    keys = ", ".join(found.keys)
    conditions = [f"({found.condition})"] if found.condition else []
    if not found.nulls_equal:
        conditions += [f"({key}) IS NOT NULL" for key in found.keys]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    query = f"SELECT {keys}, count(*) FROM {_quoted(table)}{where} GROUP BY {keys} HAVING count(*) > 1"  # noqa: S608
    counted = f"SELECT count(*), coalesce(sum(count), 0) FROM ({query}) AS d"  # noqa: S608
    values, rows = op.get_bind().execute(_as_it_is(counted)).one()
    return (
        f"the unique index {name} cannot be: {rows} rows of {table} share {values} values of ({keys}). They "
        f"are found by: {query}"
    )


def _as_it_is(query: str) -> TextClause:
    """The server's own SQL, in which a colon is no parameter of ours."""
    return text(query.replace(":", r"\:"))


def _quoted(name: str) -> str:
    return op.get_context().impl.dialect.identifier_preparer.quote(name)
