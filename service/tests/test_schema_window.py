"""Which release can serve on which schema, as the service itself judges it."""

import json
from pathlib import Path

import anyio
import pytest
from slipway_migrator import Applied, order_below

from conftest import RELEASE, SERVICE, Database, Serve, migrate, run, run_shop
from revisions import later_release
from shop.core.health import Readiness, revisions

pytestmark = pytest.mark.differs("Alembic asks the server's catalogue")

RECORDED = "SELECT revision, down_revision, kind, release FROM shop.schema_changes ORDER BY applied_at"


def recorded(database: Database) -> list[tuple[str, str | None, str, str]]:
    return [tuple(row) for row in run(database.fetch, RECORDED)]


def test_what_is_applied_is_recorded_with_its_kind_and_release(empty_database: Database) -> None:
    migrate(empty_database)
    expected = [(each.revision, each.down_revision, each.kind, RELEASE) for each in revisions().in_order]
    assert recorded(empty_database) == expected


@pytest.mark.anyio
async def test_a_fresh_database_is_migrated_and_served(empty_database: Database, serve: Serve) -> None:
    async with serve(empty_database.settings()) as client:
        assert (await client.get("/health/ready")).json()["code"] == "schema_missing"
        await anyio.to_thread.run_sync(migrate, empty_database)
        # The reason of a second ago is still told.
        await anyio.sleep(1.1)
        assert (await client.get("/health/ready")).status_code == 200
        answer = await client.get("/api/v1/products")
        assert (answer.status_code, answer.json()) == (200, {"items": [], "next": None})


def test_a_release_says_what_each_revision_would_send_without_settings_or_a_database() -> None:
    done = run_shop("schema", {"PYTHONPATH": str(SERVICE)}, "--sql")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["head"] == revisions().head == said["revisions"][-1]["revision"]
    assert [row["revision"] for row in said["revisions"]] == [each.revision for each in revisions().in_order]
    for row in said["revisions"]:
        assert "CREATE TABLE " in row["sql"]
        assert (
            f"version_num='{row['revision']}'" in row["sql"] or f"VALUES ('{row['revision']}')" in row["sql"]
        )


def test_an_earlier_release_leaves_a_later_schema_alone(database: Database, tmp_path: Path) -> None:
    run(database.execute, "UPDATE alembic_version SET version_num = 'aaaaaaaaaaa1'")
    done = run_shop("migrate", database.environ(tmp_path))
    assert done.returncode == 1
    assert "nothing is changed: it is on revision aaaaaaaaaaa1" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_takes_away_waits_until_it_is_told_and_the_release_serves_before_and_after(
    database: Database, tmp_path: Path
) -> None:
    before = revisions().head
    away = 'op.execute("ALTER TABLE products ALTER COLUMN category DROP NOT NULL")'
    folder = later_release(tmp_path / "later", away, kind="contract")
    assert migrate(database, folder=folder) == {"from": before, "to": before, "held_back": ["later1"]}
    readiness = Readiness(None, order_below(folder / "migrations"), RELEASE)  # type: ignore[arg-type] - nobody is asked
    assert readiness._compare(Applied(before)).code == "ready"
    assert migrate(database, "--contract", folder=folder) == {"from": before, "to": "later1"}
    assert recorded(database)[-1][0::2] == ("later1", "contract")
    assert readiness._compare(Applied("later1")).code == "ready"
    assert (
        Readiness(None, revisions(), RELEASE)
        ._compare(  # type: ignore[arg-type]
            Applied("later1", comes_after_head=True, contracted_by="later1", contracted_in="later")
        )
        .code
        == "schema_contracted"
    )


def test_the_service_declares_its_backfills_to_the_command_that_units_call(
    database: Database, tmp_path: Path
) -> None:
    done = run_shop("backfill", database.environ(tmp_path), "status")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"backfills": []}), done.stderr
    done = run_shop("backfill", database.environ(tmp_path), "run", "none-such")
    assert done.returncode == 1
    assert "There is no backfill 'none-such' in this release; it declares none." in done.stderr
