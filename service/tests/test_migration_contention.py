"""A migration survives what happens beside it: a deadlock is met as a lock that was not free is."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from conftest import SERVICE, Database
from revisions import later_release, run_shop_of, start_shop

pytestmark = pytest.mark.anyio

TWO = (
    'op.add_column("products", sa.Column("probe", sa.Text()))\n'
    "op.execute(\"SET LOCAL lock_timeout = '20s'\")\n"
    'op.add_column("orders", sa.Column("probe", sa.Text()))'
)


async def meet(
    database: Database,
    tmp_path: Path,
    upgrade: str,
    waiting: str,
    *,
    first: str,
    then: str,
) -> list[dict[str, Any]]:
    """Migrate by `upgrade` beside a session that does `first`, and `then` once the migrator waits.

    Returns the events of a migration that ended well.
    """
    folder = later_release(tmp_path, (upgrade, ""))
    other = await database.cluster.connect(database.name)
    process = None
    try:
        await other.execute(f"SET application_name = 'a report'; {first}")
        process = start_shop(folder, database.environ(tmp_path / "credentials"), "migrate")
        with anyio.fail_after(30):
            while not await database.fetch(waiting):  # noqa: ASYNC110 - it has no event
                await anyio.sleep(0.05)
        await other.execute(then)
        _, said = await to_thread.run_sync(process.communicate)
    finally:
        await other.close()
        if process is not None:
            process.kill()
            await to_thread.run_sync(process.communicate)
    assert process.returncode == 0, said
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def waits(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == "migration_waits_for_lock"]


async def test_a_deadlock_is_tried_again_and_the_other_session_is_named(
    database: Database, tmp_path: Path
) -> None:
    events = await meet(
        database,
        tmp_path,
        TWO,
        "SELECT 1 FROM pg_locks WHERE relation = 'shop.orders'::regclass AND NOT granted",
        # The migrator is the one that PostgreSQL ends: it looks sooner.
        first="SET deadlock_timeout = '60s'; BEGIN; SELECT count(*) FROM shop.orders",
        then="SELECT count(*) FROM shop.products; COMMIT",
    )
    assert [event["sqlstate"] for event in waits(events)] == ["40P01"]
    assert "a report" in json.dumps(waits(events)[0]["blocked_by"])


async def test_rows_that_another_session_changed_meanwhile_are_changed_in_another_try(
    database: Database, tmp_path: Path
) -> None:
    # As somebody's database may have it; at READ COMMITTED there is no such conflict.
    stricter = "SET default_transaction_isolation = 'repeatable read'"
    await database.execute(f"ALTER ROLE shop_migrate IN DATABASE {database.name} {stricter}")
    add = "UPDATE shop.products SET stock = stock + {} WHERE sku = 'CUP-200'"
    events = await meet(
        database,
        tmp_path,
        f'op.execute("SET LOCAL lock_timeout = \'20s\'")\nop.execute("{add.format(1)}")',
        "SELECT 1 FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) "
        f"WHERE l.locktype = 'transactionid' AND NOT l.granted AND a.datname = '{database.name}'",
        first=f"BEGIN; {add.format(10)}",
        then="COMMIT",
    )
    assert [event["sqlstate"] for event in waits(events)] == ["40001"]
    ((stock,),) = await database.fetch("SELECT stock FROM shop.products WHERE sku = 'CUP-200'")
    assert stock == 150 + 10 + 1


def test_a_revision_that_asks_the_database_is_named_and_the_others_show_their_sql(tmp_path: Path) -> None:
    folder = later_release(
        tmp_path,
        ('sa.inspect(op.get_bind()).get_columns("products")', ""),
        ('op.add_column("products", sa.Column("probe", sa.Text()))', ""),
        ('op.get_bind().execute(sa.text("SELECT 1")).scalar()', ""),
    )
    done = run_shop_of(folder, {"PYTHONPATH": str(SERVICE)}, "schema", "--sql")
    assert done.returncode == 0, done.stderr
    sql = {row["revision"]: row["sql"] for row in json.loads(done.stdout)["revisions"]}
    for asks in ("later1", "later3"):
        assert sql[asks].startswith("-- unknown: ")
        assert "\n" not in sql[asks]
    assert "-- statement\nALTER TABLE products ADD COLUMN probe TEXT;" in sql["later2"]


async def test_several_statements_in_one_execute_are_refused_in_a_sentence(
    database: Database, tmp_path: Path
) -> None:
    folder = later_release(tmp_path, ('op.execute("SELECT 1; SELECT 2")', ""))
    process = start_shop(folder, database.environ(tmp_path / "credentials"), "migrate")
    _, said = await to_thread.run_sync(process.communicate)
    assert process.returncode == 1
    assert "write an op.execute for each" in said
