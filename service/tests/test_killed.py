"""A migration and a backfill, killed at every moment there is: the next run needs no hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Database, run
from killing import Killer
from revisions import later_release
from test_backfill import ROWS, TABLE

# A change in a transaction; then one index for another beside the service, before a further change.
LATER = [
    ('op.add_column("products", sa.Column("brand", sa.Text()))', ""),
    (
        'create_index_concurrently("uq_products_brand", "products", ["brand", "id"], unique=True)\n'
        'drop_index_concurrently("ix_products_category_id", "products")\n'
        'op.add_column("products", sa.Column("maker", sa.Text()))',
        "",
    ),
]
SHAPE = """
SELECT 'column', a.attrelid::regclass::text, a.attname::text,
  concat(format_type(a.atttypid, a.atttypmod), a.attnotnull)
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
WHERE c.relnamespace = 'shop'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT 'index', indrelid::regclass::text, pg_get_indexdef(indexrelid),
  concat(indisvalid, indisready, indislive, relowner::regrole)
FROM pg_index JOIN pg_class AS c ON c.oid = indexrelid WHERE c.relnamespace = 'shop'::regnamespace
UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'shop'::regnamespace
UNION ALL SELECT 'applied', 'schema_changes', revision, concat(down_revision, kind) FROM shop.schema_changes
UNION ALL SELECT 'revision', 'alembic_version', version_num, '' FROM shop.alembic_version
ORDER BY 1, 2, 3, 4
"""


def shape(database: Database) -> list[tuple[Any, ...]]:
    """All that a migration makes, in words."""
    return [tuple(row) for row in run(database.fetch, SHAPE)]


@pytest.mark.parametrize(
    ("template", "only"), [("migrated", ""), ("prepared", "COMMIT")], ids=["later", "first"]
)
def test_a_migration_killed_before_any_statement_or_commit_is_finished_by_the_next(
    new_database: Callable[[str], Database], tmp_path: Path, template: str, only: str
) -> None:
    first = new_database(template)
    migrate = Killer.start(
        later_release(tmp_path, *LATER), "migrate", first.environ(tmp_path / "credentials")
    )
    try:
        status, moments = migrate(first.name)
        assert (status, moments.count("COMMIT") > 8) == (0, True), moments
        undisturbed = shape(first)
        for number, moment in enumerate(moments, start=1):
            if only not in moment:
                continue
            database = new_database(template)
            assert migrate(database.name, number)[0] == -9, moment
            assert migrate(database.name)[0] == 0, f"after a kill before {moment}"
            assert shape(database) == undisturbed, f"after a kill before {moment}"
            run(database.drop)
    finally:
        migrate.stop()
    run(first.drop)


def test_a_backfill_killed_before_any_statement_or_commit_changes_each_row_once(
    new_database: Callable[[str], Database], tmp_path: Path
) -> None:
    few = [*TABLE[:1], TABLE[1].replace(str(ROWS), "60"), *TABLE[2:]]
    grants = ["ALTER TABLE numbers OWNER TO shop_owner", "GRANT ALL ON numbers TO shop"]
    counted = "SELECT count(*), min(touched), max(touched) FROM shop.numbers WHERE doubled = id * 2"

    def filled() -> Database:
        database = new_database("migrated")
        run(database.execute, *few, *grants)
        return database

    first = filled()
    fill = Killer.start(tmp_path, "fill", first.environ(tmp_path / "credentials"))
    try:
        status, moments = fill(first.name)
        assert (status, moments.count("COMMIT") > 8) == (0, True), moments
        for number, moment in enumerate(moments, start=1):
            database = filled()
            assert fill(database.name, number)[0] == -9, moment
            assert fill(database.name)[0] == 0, f"after a kill before {moment}"
            (row,) = run(database.fetch, counted)
            assert tuple(row) == (60, 1, 1), f"after a kill before {moment}"
            (row,) = run(database.fetch, "SELECT rows_done, finished_at IS NOT NULL FROM shop.backfills")
            assert tuple(row) == (60, True), f"after a kill before {moment}"
            run(database.drop)
    finally:
        fill.stop()
    run(first.drop)
