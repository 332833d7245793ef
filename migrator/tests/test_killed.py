"""A migration and a backfill, killed at every moment there is: the next run needs no hand."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from conftest import Database, Service
from killing import Killer
from test_backfill import DECLARED, ROWS, TABLE

SHAPE = """
SELECT 'column' AS kind, a.attrelid::regclass::text AS of, a.attname::text AS name,
  concat(format_type(a.atttypid, a.atttypmod), a.attnotnull) AS is
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
WHERE c.relnamespace = 'notes'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT 'index', indrelid::regclass::text, pg_get_indexdef(indexrelid),
  concat(indisvalid, indisready, indislive, relowner::regrole)
FROM pg_index JOIN pg_class AS c ON c.oid = indexrelid WHERE c.relnamespace = 'notes'::regnamespace
UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'notes'::regnamespace
UNION ALL SELECT 'applied', 'schema_changes', revision, concat(down_revision, kind) FROM schema_changes
UNION ALL SELECT 'revision', 'alembic_version', version_num, '' FROM alembic_version
ORDER BY 1, 2, 3, 4
"""


@pytest.fixture
def clones(database: Database) -> Callable[[], Any]:
    """Makes a database that is as `database` is now, for one use."""
    numbers = iter(range(1, 1000))

    @contextmanager
    def clone() -> Iterator[Database]:
        name = f"{database.name}_{next(numbers)}"
        database.server.create_database(name, database.name)
        yield Database(database.server, name, database.credentials)
        database.server.execute("postgres", f"DROP DATABASE {name} WITH (FORCE)")

    return clone


def telling(moments: list[str]) -> list[tuple[int, str]]:
    """The moments before which something was done that lasts: a SELECT leaves nothing but in its session."""
    return [
        (number, moment)
        for number, moment in enumerate(moments, start=1)
        if number == 1 or not moments[number - 2].startswith(("SELECT", "select"))
    ]


def shape(database: Database) -> list[tuple[Any, ...]]:
    """All that a migration makes, in words."""
    return [tuple(row.values()) for row in database.fetch(SHAPE)]


def test_a_migration_killed_before_any_statement_or_commit_is_finished_by_the_next(
    service: Service, database: Database, clones: Callable[[], Any]
) -> None:
    service.revise('op.create_table("notes", sa.Column("id", sa.BigInteger, primary_key=True))')
    service.revise(
        'op.add_column("notes", sa.Column("brand", sa.Text()))\nop.create_index("ix_a", "notes", ["brand"])'
    )
    service.revise(
        'create_index_concurrently("uq_brand", "notes", ["brand", "id"], unique=True)\n'
        'drop_index_concurrently("ix_a", "notes")\n'
        'op.add_column("notes", sa.Column("maker", sa.Text()))'
    )
    migrate = Killer.start(service.folder, database.environ(), "migrate")
    try:
        with clones() as first:
            status, moments = migrate(first.name)
            assert (status, moments.count("COMMIT") > 8) == (0, True), moments
            undisturbed = shape(first)
        for number, moment in telling(moments):
            with clones() as one:
                assert migrate(one.name, number)[0] == -9, moment
                assert migrate(one.name)[0] == 0, f"after a kill before {moment}"
                assert shape(one) == undisturbed, f"after a kill before {moment}"
    finally:
        migrate.stop()


def test_a_backfill_killed_before_any_statement_or_commit_changes_each_row_once(
    service: Service, database: Database, clones: Callable[[], Any]
) -> None:
    with (service.folder / "pyproject.toml").open("a") as file:
        file.write('[tool.slipway]\nbackfills = "filling:DECLARED"\n')
    (service.folder / "filling.py").write_text(DECLARED)
    service.revise("pass")
    service.migrated(database)
    database.execute(*[each.replace(f"1, {ROWS}", "1, 60") for each in TABLE])
    fill = Killer.start(service.folder, database.environ(), "backfill", "run", "double")
    counted = "SELECT count(*), min(touched), max(touched) FROM numbers WHERE doubled = id * 2"
    try:
        with clones() as first:
            status, moments = fill(first.name)
            assert (status, moments.count("COMMIT") > 8) == (0, True), moments
        for number, moment in telling(moments):
            with clones() as one:
                assert fill(one.name, number)[0] == -9, moment
                assert fill(one.name)[0] == 0, f"after a kill before {moment}"
                (row,) = one.fetch(counted)
                assert tuple(row.values()) == (60, 1, 1), f"after a kill before {moment}"
                (row,) = one.fetch("SELECT rows_done, finished_at IS NOT NULL AS done FROM backfills")
                assert tuple(row.values()) == (60, True), f"after a kill before {moment}"
    finally:
        fill.stop()
