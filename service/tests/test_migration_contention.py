"""A migration survives what happens beside it: a deadlock is met as a lock that was not free is."""

import json
from pathlib import Path

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


async def test_a_deadlock_is_tried_again_and_the_other_session_is_named(
    database: Database, tmp_path: Path
) -> None:
    folder = later_release(tmp_path, (TWO, ""))
    other = await database.cluster.connect(database.name)
    process = None
    try:
        # The migrator is the one that PostgreSQL ends: it looks sooner.
        await other.execute(
            "SET deadlock_timeout = '60s'; SET application_name = 'a report'; "
            "BEGIN; SELECT count(*) FROM shop.orders"
        )
        process = start_shop(folder, database.environ(tmp_path / "credentials"), "migrate")
        waits = "SELECT 1 FROM pg_locks WHERE relation = 'shop.orders'::regclass AND NOT granted"
        with anyio.fail_after(30):
            while not await database.fetch(waits):  # noqa: ASYNC110 - it has no event
                await anyio.sleep(0.05)
        await other.execute("SELECT count(*) FROM shop.products")
        await other.execute("COMMIT")
        _, said = await to_thread.run_sync(process.communicate)
    finally:
        await other.close()
        if process is not None:
            process.kill()
            await to_thread.run_sync(process.communicate)
    assert process.returncode == 0, said
    events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    waited = [event for event in events if event["event"] == "migration_waits_for_lock"]
    assert [event["sqlstate"] for event in waited] == ["40P01"]
    assert "a report" in json.dumps(waited[0]["blocked_by"])


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
