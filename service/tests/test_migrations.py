"""Migrations: from nothing to head and back, by the right role, one at a time."""

import json
import re
import runpy
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from anyio import fail_after, to_thread

from conftest import SERVICE, Database, run, run_shop
from shop.core.blockers import without_values
from shop.core.database import Base
from shop.core.schema import Revisions, alembic_config, upgrade

pytestmark = pytest.mark.differs("locks and their messages are the server's")

# The key of migrations/env.py: every release must use the same.
MIGRATION_LOCK = 0x73686F70

OWNED = """
SELECT c.relname, c.relkind::text, r.rolname AS owner, c.reloptions
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_roles AS r ON r.oid = c.relowner
WHERE n.nspname = 'shop' AND c.relkind IN ('r', 'i', 'S')
"""


def all_tables() -> set[str]:
    """Head has the tables of the models, which the first migration has imported, and one more."""
    return {"alembic_version", *Base.metadata.tables}


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
    head = Revisions().head
    for origin in (None, head):
        done = run_shop("migrate", environ)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"from": origin, "to": head}
        for line in done.stderr.splitlines():
            assert json.loads(line)["logger"].startswith(("alembic", "shop.schema")), line


def test_the_head_is_named_without_settings_or_database() -> None:
    done = run_shop("schema-head", {"PYTHONPATH": str(SERVICE)})
    assert (done.returncode, done.stdout) == (0, Revisions().head + "\n"), done.stderr


def test_up_down_and_up_again(empty_database: Database) -> None:
    settings = empty_database.settings()
    upgrade(settings)
    assert tables(empty_database) == all_tables()
    command.downgrade(alembic_config(settings), "base")
    assert tables(empty_database) == {"alembic_version"}
    assert upgrade(settings).origin is None
    assert tables(empty_database) == all_tables()


def test_a_migrated_shop_holds_nothing_that_nobody_put_there(empty_database: Database) -> None:
    upgrade(empty_database.settings())
    for table in sorted(all_tables() - {"alembic_version", "schema_changes"}):
        assert run(empty_database.fetch, f"SELECT * FROM shop.{table}") == [], table


def test_models_and_migrations_agree(shared_database: Database) -> None:
    command.check(alembic_config(shared_database.settings()))


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


async def hold_until_two_wait(database: Database) -> None:
    """Keep the migration lock until two migrators are there, so that they truly meet."""
    connection = await database.cluster.connect(database.name)
    try:
        await connection.execute(f"SELECT pg_advisory_lock({MIGRATION_LOCK})")
        waiting = (
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE application_name LIKE 'shop-migrate/%' AND datname = current_database()"
        )
        with fail_after(30):
            while await connection.fetchval(waiting) < 2:
                await connection.execute("SELECT pg_sleep(0.05)")
    finally:
        await connection.close()


def test_two_migrators_at_once_do_the_work_once(empty_database: Database, tmp_path: Path) -> None:
    environ = empty_database.environ(tmp_path)
    with ThreadPoolExecutor() as threads:
        holding = threads.submit(run, hold_until_two_wait, empty_database)
        migrating = [threads.submit(run_shop, "migrate", environ) for _ in range(2)]
        done = [future.result() for future in migrating]
        holding.result()
    assert [process.returncode for process in done] == [0, 0], [process.stderr for process in done]
    origins = [json.loads(process.stdout)["from"] for process in done]
    assert sorted(origins, key=str) == sorted([None, Revisions().head], key=str)


def until_logged(process: "subprocess.Popen[str]", event: str) -> dict[str, object]:
    """The first line of this event that a migrator writes."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        said: dict[str, object] = json.loads(line)
        if said.get("event", said.get("message")) == event:
            return said
    raise AssertionError(f"the migrator ended without {event}: {seen}")


def start_migrating(environ: dict[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "shop.cli", "migrate"],
        env=environ,
        cwd="/",
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_lock_that_becomes_free_is_tried_again(database: Database, tmp_path: Path) -> None:
    command.downgrade(alembic_config(database.settings()), "base")

    async def meet() -> str:
        blocker = await database.cluster.connect(database.name)
        process = None
        try:
            await blocker.execute("BEGIN; LOCK TABLE shop.alembic_version IN SHARE MODE")
            process = start_migrating(database.environ(tmp_path))
            await to_thread.run_sync(until_logged, process, "migration_waits_for_lock")
            await blocker.close()
            printed, _ = await to_thread.run_sync(process.communicate)
            return str(printed)
        finally:
            await blocker.close()
            if process is not None:
                process.kill()
                process.wait()

    assert json.loads(run(meet)) == {"from": None, "to": Revisions().head}
    assert tables(database) == all_tables()


def test_a_lock_that_stays_taken_is_given_up_and_its_holder_named(database: Database, tmp_path: Path) -> None:
    command.downgrade(alembic_config(database.settings()), "base")

    async def meet() -> tuple[int, "subprocess.CompletedProcess[str]"]:
        blocker = await database.cluster.connect(database.name)
        try:
            await blocker.execute("BEGIN; LOCK TABLE shop.alembic_version IN SHARE MODE")
            environ = database.environ(tmp_path, SHOP_MIGRATE_RETRY_SECONDS="0")
            return blocker.get_server_pid(), await to_thread.run_sync(run_shop, "migrate", environ)
        finally:
            await blocker.close()

    pid, done = run(meet)
    assert done.returncode == 75, done.stderr
    assert f"pid {pid}, role postgres" in done.stderr.splitlines()[-1], done.stderr
    assert tables(database) == {"alembic_version"}, "a revision that was given up left something behind"


def test_a_migration_that_waits_too_long_for_another_names_it(database: Database, tmp_path: Path) -> None:
    async def meet() -> tuple[int, "subprocess.CompletedProcess[str]"]:
        other = await database.cluster.connect(database.name)
        try:
            await other.execute(f"SELECT pg_advisory_lock({MIGRATION_LOCK})")
            environ = database.environ(tmp_path, SHOP_MIGRATE_LOCK_WAIT="0.5")
            return other.get_server_pid(), await to_thread.run_sync(run_shop, "migrate", environ)
        finally:
            await other.close()

    pid, done = run(meet)
    assert done.returncode == 75, done.stderr
    assert f": pid {pid}, role postgres" in done.stderr, done.stderr
    assert "did not start, nothing is changed" in done.stderr


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("SELECT 'it''s' FROM a -- why\nWHERE b = 12.5", "SELECT ? FROM a WHERE b = ?"),
        ("SELECT E'a\\'b', $x$ it $x$, \"t'1\"", 'SELECT ?, ?, "t\'1"'),
        ("SELECT 'cut off", "SELECT ?"),
        ("SELECT a1\x1b[2J", "SELECT a1 [?J"),
    ],
)
def test_a_query_is_shown_without_its_values(query: str, shown: str) -> None:
    assert without_values(query) == shown


def test_a_migration_stops_before_what_contracts_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    revisions = Revisions()
    first, second, third = revisions.in_order[:3]
    monkeypatch.setattr(revisions, "in_order", (first, replace(second, kind="contract"), third))
    monkeypatch.setattr(revisions, "head", third.revision)
    assert revisions.target(first.revision, contract=False) == first.revision
    assert revisions.target(first.revision, contract=True) == third.revision
    assert revisions.target(None, contract=False) == third.revision


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
    upgrade(empty_database.settings(database_owner=""))
    assert {row["owner"] for row in run(empty_database.fetch, OWNED)} == {"shop_migrate"}


def test_there_is_one_head_and_every_revision_says_its_kind() -> None:
    script = ScriptDirectory.from_config(alembic_config())
    assert len(script.get_heads()) == 1
    for revision in script.walk_revisions():
        assert revision.module.kind in ("expand", "contract"), revision.path
        assert re.fullmatch(r"\d{4}_\d\d_\d\d_\d{4}_[a-z0-9_]+\.py", Path(revision.path).name), revision.path
        source = Path(revision.path).read_text(encoding="utf-8")
        assert source.count("SET LOCAL lock_timeout = '2s'") == 2, f"{revision.path} does not limit its waits"


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
    assert (made["kind"], made["down_revision"]) == ("expand", Revisions().head)


def test_a_watcher_learns_which_revision_begins_and_which_is_applied(
    empty_database: Database, tmp_path: Path
) -> None:
    done = run_shop("migrate", empty_database.environ(tmp_path))
    said = [json.loads(line) for line in done.stderr.splitlines()]
    told = [(each["event"], each["revision"]) for each in said if each["event"].startswith("revision_")]
    names = [revision.revision for revision in Revisions().in_order]
    assert told == [(event, name) for name in names for event in ("revision_begun", "revision_applied")]
