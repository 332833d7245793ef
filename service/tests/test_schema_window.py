"""What is applied is recorded with it, and a migrator that dies leaves nothing for an operator to repair."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import anyio
import pytest
from alembic import command

from conftest import RELEASE, SERVICE, Database, Serve, run, run_shop
from shop.core import schema
from shop.core.health import Applied, Readiness
from shop.core.schema import MigrationError, Revisions, alembic_config, upgrade

pytestmark = pytest.mark.differs("Alembic asks the server's catalogue")

RECORDED = "SELECT revision, down_revision, kind, release FROM shop.schema_changes ORDER BY applied_at"
# Whoever creates this table waits for the test, so that a migrator can be killed in the middle of its work.
WAIT_AT = """
CREATE FUNCTION public.wait_at() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity = 'shop.{0}') THEN
        PERFORM pg_advisory_lock(1);
    END IF;
END $$;
CREATE EVENT TRIGGER wait_at ON ddl_command_end EXECUTE FUNCTION public.wait_at();
"""
WAITING = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND NOT granted"


def recorded(database: Database) -> list[tuple[str, str | None, str, str]]:
    return [tuple(row) for row in run(database.fetch, RECORDED)]


def test_what_is_applied_is_recorded_with_its_kind_and_release(empty_database: Database) -> None:
    settings = empty_database.settings()
    upgrade(settings)
    expected = [(each.revision, each.down_revision, each.kind, RELEASE) for each in Revisions().in_order]
    assert recorded(empty_database) == expected
    command.downgrade(alembic_config(settings), "-1")
    assert recorded(empty_database) == expected[:-1]
    later = empty_database.settings(release="later")
    upgrade(later)
    assert recorded(empty_database) == [*expected[:-1], (*expected[-1][:3], "later")]


@pytest.mark.anyio
async def test_a_fresh_database_is_migrated_and_served(empty_database: Database, serve: Serve) -> None:
    settings = empty_database.settings()
    async with serve(settings) as client:
        assert (await client.get("/health/ready")).json()["code"] == "schema_missing"
        await anyio.to_thread.run_sync(upgrade, settings)
        # The reason of a second ago is still told.
        await anyio.sleep(1.1)
        assert (await client.get("/health/ready")).status_code == 200
        answer = await client.get("/api/v1/products")
        assert (answer.status_code, answer.json()) == (200, {"items": [], "next": None})


async def kill_while_it_creates(database: Database, table: str, environ: dict[str, str]) -> None:
    connection = await database.cluster.connect(database.name)
    try:
        await connection.execute(WAIT_AT.format(table))
        await connection.execute("SELECT pg_advisory_lock(1)")
        migrator = await anyio.open_process([sys.executable, "-m", "shop.cli", "migrate"], env=environ)
        with anyio.fail_after(30):
            while not await connection.fetch(WAITING):
                assert migrator.returncode is None, "the migration ended before the table was created"
                await anyio.sleep(0.02)
        os.kill(migrator.pid, signal.SIGKILL)
        await migrator.wait()
        await connection.execute("DROP EVENT TRIGGER wait_at")
        # Its session still waits for our lock: the server itself must see that nobody is there any more.
        done = await anyio.to_thread.run_sync(run_shop, "migrate", environ)
        assert done.returncode == 0, done.stderr
    finally:
        await connection.close()


@pytest.mark.parametrize("table", ["alembic_version", "schema_changes", "users", "outbox"])
def test_a_migrator_killed_at_any_point_is_made_up_for_by_the_next(
    empty_database: Database, tmp_path: Path, table: str
) -> None:
    run(kill_while_it_creates, empty_database, table, empty_database.environ(tmp_path))
    assert [row[0] for row in recorded(empty_database)] == [each.revision for each in Revisions().in_order]
    command.check(alembic_config(empty_database.settings()))


def test_a_release_says_its_revisions_and_their_kinds_without_a_database() -> None:
    done = run_shop("schema", {"PYTHONPATH": str(SERVICE)})
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["head"] == Revisions().head == said["revisions"][-1]["revision"]
    assert said["revisions"][0]["down_revision"] is None
    for earlier, later in zip(said["revisions"], said["revisions"][1:], strict=False):
        assert later["down_revision"] == earlier["revision"]
        assert later["kind"] in ("expand", "contract")


def test_a_release_says_what_each_revision_would_send_without_a_database() -> None:
    done = run_shop("schema", {"PYTHONPATH": str(SERVICE)}, "--sql")
    assert done.returncode == 0, done.stderr
    revisions = json.loads(done.stdout)["revisions"]
    assert [row["revision"] for row in revisions] == [each.revision for each in Revisions().in_order]
    created = [row["sql"].count("CREATE TABLE ") for row in revisions]
    assert all(created), created
    for row in revisions:
        assert (
            f"version_num='{row['revision']}'" in row["sql"] or f"VALUES ('{row['revision']}')" in row["sql"]
        )


@pytest.mark.parametrize("kind", ["'grow'", "None", ""])
def test_a_revision_of_no_known_kind_is_refused(
    empty_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    shutil.copytree(SERVICE / "migrations", tmp_path / "migrations")
    (path,) = (tmp_path / "migrations" / "versions").glob("*_create_users.py")
    path.write_text(path.read_text().replace('kind = "expand"', f"kind = {kind}" if kind else ""))
    monkeypatch.setattr(schema, "migrations_directory", lambda: tmp_path / "migrations")
    with pytest.raises(MigrationError, match=r"declares the kind .*: it must be 'expand'"):
        upgrade(empty_database.settings())
    assert run(empty_database.fetch, "SELECT FROM pg_tables WHERE schemaname = 'shop'") == []


def test_an_earlier_release_leaves_a_later_schema_alone(database: Database, tmp_path: Path) -> None:
    run(database.execute, "UPDATE alembic_version SET version_num = 'aaaaaaaaaaa1'")
    done = run_shop("migrate", database.environ(tmp_path))
    assert done.returncode == 1
    assert "nothing is changed: it is on revision aaaaaaaaaaa1" in done.stderr
    assert "Traceback" not in done.stderr


TAKES_AWAY = '''
"""Take the categories' obligation away"""

from alembic import op

revision = "{revision}"
down_revision = "{before}"
branch_labels = None
depends_on = None
kind = "contract"


def upgrade() -> None:
    op.execute("ALTER TABLE shop.products ALTER COLUMN category DROP NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE shop.products ALTER COLUMN category SET NOT NULL")
'''


def test_what_takes_away_waits_until_it_is_told_and_the_release_serves_before_and_after(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = Revisions().head, "bbbbbbbbbbb2"
    shutil.copytree(SERVICE / "migrations", tmp_path / "migrations")
    (tmp_path / "migrations/versions/2030_01_01_0000_take_away.py").write_text(
        TAKES_AWAY.format(revision=after, before=before)
    )
    monkeypatch.setattr(schema, "migrations_directory", lambda: tmp_path / "migrations")
    settings = database.settings()
    assert upgrade(settings) == schema.Migrated(before, before, (after,))
    revisions = Revisions()
    assert [revisions.suffices(name) for name in (before, after, revisions.in_order[0].revision)] == [
        True,
        True,
        False,
    ]
    readiness = Readiness(None, revisions, RELEASE)  # type: ignore[arg-type] - nobody is asked
    assert readiness._compare(Applied(before)).code == "ready"
    assert upgrade(settings, contract=True) == schema.Migrated(before, after)
    assert recorded(database)[-1][0::2] == (after, "contract")
    assert readiness._compare(Applied(after)).code == "ready"
