"""The service's migrations: from nothing to head and back, by the right role, as its models are."""

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
import slipway_migrator

import shop.core.idempotency
import shop.core.outbox
import shop.domains  # noqa: F401 - each imports its tables
from conftest import SERVICE, Database, alembic, migrate, run, run_shop
from shop.core.database import Base
from shop.core.health import migrations_directory, revisions

pytestmark = pytest.mark.differs("locks and their messages are the server's")

OWNED = """
SELECT c.relname, c.relkind::text, r.rolname AS owner, c.reloptions
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_roles AS r ON r.oid = c.relowner
WHERE n.nspname = 'shop' AND c.relkind IN ('r', 'i', 'S')
"""


def all_tables() -> set[str]:
    """Head has the tables of the models, those of the migrator, and Alembic's."""
    return {"alembic_version", *Base.metadata.tables, *slipway_migrator.tables.tables}


def tables(database: Database) -> set[str]:
    return {row["relname"] for row in run(database.fetch, OWNED) if row["relkind"] == "r"}


async def as_shop(database: Database, statement: str) -> None:
    connection = await asyncpg.connect(
        host=str(database.cluster.socket_directory),
        port=database.cluster.port,
        user="shop",
        password=database.cluster.password,
        database=database.name,
        server_settings={"search_path": "shop"},
    )
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def test_a_second_migration_changes_nothing(empty_database: Database, tmp_path: Path) -> None:
    environ = empty_database.environ(tmp_path)
    # A migration is not given the service's secret key.
    (tmp_path / "secret_key").unlink()
    head = revisions().head
    for origin in (None, head):
        done = run_shop("migrate", environ)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"from": origin, "to": head}
        for line in done.stderr.splitlines():
            assert json.loads(line)["logger"] == "slipway_migrator", line


def test_the_head_is_named_without_settings_or_database() -> None:
    done = run_shop("schema-head", {"PYTHONPATH": str(SERVICE)})
    assert (done.returncode, done.stdout) == (0, revisions().head + "\n"), done.stderr


def test_up_down_and_up_again(empty_database: Database) -> None:
    migrate(empty_database)
    assert tables(empty_database) == all_tables()
    done = alembic(empty_database, "downgrade", "base")
    assert done.returncode == 0, done.stderr
    assert tables(empty_database) == {"alembic_version"}
    assert migrate(empty_database)["from"] is None
    assert tables(empty_database) == all_tables()


def test_a_migrated_shop_holds_nothing_that_nobody_put_there(empty_database: Database) -> None:
    migrate(empty_database)
    for table in sorted(all_tables() - {"alembic_version", "schema_changes"}):
        assert run(empty_database.fetch, f"SELECT * FROM shop.{table}") == [], table


def test_models_and_migrations_agree(shared_database: Database) -> None:
    done = alembic(shared_database, "check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_everything_belongs_to_the_owner(shared_database: Database) -> None:
    rows = run(shared_database.fetch, OWNED)
    assert {row["relname"] for row in rows} >= {"products", "pk_products", "ix_products_category_id"}
    assert {row["owner"] for row in rows} == {"shop_owner"}
    (products,) = (row for row in rows if row["relname"] == "products")
    assert products["reloptions"] == ["fillfactor=80"]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id int)",
        "ALTER TABLE products ADD COLUMN note text",
        "DROP TABLE products",
        "TRUNCATE products",
        "CREATE INDEX mine ON products (name)",
        "CREATE TABLE public.mine (id int)",
        "SET ROLE shop_owner",
        "UPDATE alembic_version SET version_num = 'x'",
        "DELETE FROM alembic_version",
        "INSERT INTO schema_changes VALUES ('x', NULL, 'expand', 'x')",
        "UPDATE schema_changes SET kind = 'expand'",
        "DELETE FROM schema_changes",
        "UPDATE stock_log SET change_amount = 1",
        "DELETE FROM stock_log",
    ],
)
def test_the_service_cannot_change_the_schema(shared_database: Database, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        run(as_shop, shared_database, statement)


def test_the_service_can_change_rows(database: Database) -> None:
    run(as_shop, database, "UPDATE products SET stock = stock - 1, version = version + 1")
    run(as_shop, database, "DELETE FROM products WHERE sku = 'KETTLE-1200'")


@pytest.mark.parametrize(
    ("column", "value", "constraint"),
    [
        ("price", "-0.01", "ck_products_price_not_negative"),
        ("stock", "-1", "ck_products_stock_not_negative"),
        ("sku", "'TEA-GREEN-100'", "uq_products_sku"),
    ],
)
def test_broken_rules_name_their_constraint(
    shared_database: Database, column: str, value: str, constraint: str
) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        run(as_shop, shared_database, f"UPDATE products SET {column} = {value} WHERE sku = 'CUP-200'")
    assert refused.value.constraint_name == constraint


@pytest.mark.parametrize(
    ("preparation", "changes", "status", "words"),
    [
        ("DROP SCHEMA shop CASCADE", {}, 1, "the schema shop does not exist"),
        ("SELECT 1", {"SHOP_DATABASE_OWNER": "nobody_here"}, 1, "the role nobody_here does not exist"),
        ("SELECT 1", {"SHOP_DATABASE_OWNER": "shop"}, 1, "the role shop does not count"),
        ("SELECT 1", {"SHOP_DATABASE_PORT": "1"}, 69, "cannot be reached"),
        ("SELECT 1", {"SHOP_MIGRATE_DATABASE_USER": "shop"}, 69, "refuses the role"),
        ("CREATE TABLE products (id int)", {}, 1, "SQLSTATE 42P07"),
    ],
)
def test_a_migration_that_cannot_be_done_says_why(
    empty_database: Database,
    tmp_path: Path,
    preparation: str,
    changes: dict[str, str],
    status: int,
    words: str,
) -> None:
    run(empty_database.execute, preparation)
    before = tables(empty_database)
    done = run_shop("migrate", empty_database.environ(tmp_path, **changes))
    assert done.returncode == status, done
    assert words in done.stderr, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert empty_database.cluster.migrate_password not in done.stderr
    assert tables(empty_database) - {"alembic_version"} == before


def test_without_an_owner_the_objects_stay_with_the_migrating_role(empty_database: Database) -> None:
    run(empty_database.execute, "GRANT CREATE, USAGE ON SCHEMA shop TO shop_migrate")
    migrate(empty_database, SHOP_DATABASE_OWNER="")
    assert {row["owner"] for row in run(empty_database.fetch, OWNED)} == {"shop_migrate"}


def test_there_is_one_head_and_every_revision_says_its_kind_and_limits_its_waits() -> None:
    carried = slipway_migrator.Revisions.below(migrations_directory())
    assert carried.order == revisions()
    assert all(each.declared for each in carried.in_order)
    for script in carried.script.walk_revisions():
        assert re.fullmatch(r"\d{4}_\d\d_\d\d_\d{4}_[a-z0-9_]+\.py", Path(script.path).name), script.path
        source = Path(script.path).read_text(encoding="utf-8")
        assert source.count("SET LOCAL lock_timeout = '2s'") == 2, f"{script.path} does not limit its waits"


def test_the_alembic_command_makes_a_revision_in_our_form(tmp_path: Path) -> None:
    shutil.copytree(SERVICE / "migrations", tmp_path / "migrations")
    shutil.copy(SERVICE / "pyproject.toml", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "revision", "-m", "Add a thing"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(SERVICE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (tmp_path / "migrations" / "versions").glob("*_add_a_thing.py")
    assert re.match(r"\d{4}_\d\d_\d\d_\d{4}_", path.name)
    made = runpy.run_path(str(path))
    assert (made["kind"], made["down_revision"]) == ("expand", revisions().head)
