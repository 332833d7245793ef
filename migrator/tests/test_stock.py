"""A service whose Alembic environment nobody wrote for Slipway: `alembic init`, its env.py as it came."""

from collections.abc import Callable

import pytest

from conftest import Database, Service

TABLE = (
    'op.create_table("notes", sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("text", sa.Text))'
)
ROWS = "INSERT INTO notes SELECT n, 'note ' || n FROM generate_series(1, 100) n"


@pytest.mark.parametrize(
    ("kind", "driver"),
    [
        ("generic", "psycopg"),
        ("generic", "psycopg2"),
        ("async", "asyncpg"),
        ("async", "psycopg"),
        ("pyproject", "psycopg"),
        ("pyproject_async", "asyncpg"),
    ],
)
def test_each_template_of_alembic_with_each_driver_is_migrated_as_it_is(
    make_service: Callable[[str], Service], database: Database, kind: str, driver: str
) -> None:
    service = make_service(kind)
    with (service.folder / "pyproject.toml").open("a") as file:
        file.write(f'\n[tool.slipway]\nmigrations = "migrations"\ndriver = "{driver}"\n')
    service.revise(TABLE)
    service.revise('op.add_column("notes", sa.Column("title", sa.Text))')
    done = service.run(database.environ(), "migrate")
    assert done.result == {"from": None, "to": "r2"}
    assert database.tables() == {"alembic_version", "backfills", "notes", "schema_changes"}
    assert (
        database.value("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'notes'")
        == "notes_owner"
    )
    again = service.run(database.environ(), "migrate")
    assert again.result == {"from": "r2", "to": "r2"}
