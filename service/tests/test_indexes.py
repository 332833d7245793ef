"""Indexes built beside the service: again after any death, never another one, never in anybody's way."""

import json
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import pytest
from alembic import command
from anyio import to_thread

from conftest import SERVICE, Database
from revisions import carried, later_release, run_shop_of, start_shop
from shop.core.schema import RevisionError, alembic_config, upgrade

pytestmark = [pytest.mark.anyio, pytest.mark.differs("how an index is built beside writers is the server's")]

TABLE = [
    "CREATE TABLE parts (id bigint PRIMARY KEY, code text NOT NULL, kind text)",
    "INSERT INTO parts SELECT n, 'code-' || n, 'a' FROM generate_series(1, 500) n",
    "ALTER TABLE parts OWNER TO shop_owner",
    "GRANT ALL ON parts TO shop",
]
PLAIN = 'create_index_concurrently("ix_parts_code", "parts", ["code"])'
UNIQUE = (
    'create_index_concurrently("uq_parts_code", "parts", [sa.text("lower(code)")], unique=True, '
    'postgresql_where=sa.text("kind IS NOT NULL"))'
)
DROP = 'drop_index_concurrently("ix_parts_code", "parts")'
INDEX = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('shop.{}')"
SESSION = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'shop-migrate/%' AND datname = '{}'"
PHASE = "SELECT phase, pid FROM pg_stat_progress_create_index WHERE datname = '{}'"
LOCKS = "SELECT mode FROM pg_locks WHERE relation = 'shop.parts'::regclass AND pid = {}"


@pytest.fixture
async def parts(database: Database) -> Database:
    """A database with a table of 500 rows."""
    await database.execute(*TABLE)
    return database


async def is_valid(database: Database, name: str) -> bool | None:
    """Whether an index is valid; None when there is none."""
    rows = await database.fetch(INDEX.format(name))
    return rows[0][0] if rows else None


async def migrated(database: Database, folder: Path, **changes: Any) -> None:
    """Migrate in this process."""

    def perform() -> None:
        with carried(folder):
            upgrade(database.settings(**changes))

    await to_thread.run_sync(perform)


async def revision(database: Database) -> str:
    (row,) = await database.fetch("SELECT version_num FROM shop.alembic_version")
    return str(row[0])


async def until(condition: Callable[[], Any], process: "subprocess.Popen[str] | None" = None) -> Any:
    """Wait until an awaited condition gives something."""
    with anyio.fail_after(60):
        while not (found := await condition()):
            if process is not None and process.poll() is not None:
                raise AssertionError(f"the migration ended: {process.communicate()}")
            await anyio.sleep(0.02)
    return found


@asynccontextmanager
async def transaction(database: Database, *statements: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """A session of the test's with an open transaction."""
    connection = await database.cluster.connect(database.name)
    try:
        await connection.execute("SET search_path = shop")
        for statement in statements:
            await connection.execute(statement)
        yield connection
    finally:
        await connection.close()


async def test_one_line_builds_an_index_and_one_drops_it(parts: Database, tmp_path: Path) -> None:
    folder = later_release(
        tmp_path, (PLAIN, DROP), (UNIQUE, 'drop_index_concurrently("uq_parts_code", "parts")')
    )
    await migrated(parts, folder)
    assert await is_valid(parts, "ix_parts_code") is True
    (row,) = await parts.fetch("SELECT pg_get_indexdef('shop.uq_parts_code'::regclass)")
    assert row[0].endswith(
        "UNIQUE INDEX uq_parts_code ON shop.parts USING btree (lower(code)) WHERE (kind IS NOT NULL)"
    )
    (row,) = await parts.fetch(
        "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relname ~ '_parts_code$'"
    )
    assert row[0] == "shop_owner"

    def taken_back() -> None:
        with carried(folder):
            command.downgrade(alembic_config(parts.settings()), "-2")

    await to_thread.run_sync(taken_back)
    assert await is_valid(parts, "ix_parts_code") is None
    assert await is_valid(parts, "uq_parts_code") is None


async def test_the_plan_shows_what_a_revision_sends_without_a_database(tmp_path: Path) -> None:
    folder = later_release(tmp_path, (f"{PLAIN}\n{DROP}", ""))
    done = run_shop_of(folder, {"PYTHONPATH": str(SERVICE)}, "schema", "--sql")
    assert done.returncode == 0, done.stderr
    sql = json.loads(done.stdout)["revisions"][-1]["sql"]
    assert "CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_parts_code ON parts (code);" in sql
    assert "DROP INDEX CONCURRENTLY IF EXISTS ix_parts_code;" in sql


async def test_an_index_that_a_dead_build_left_is_built_anew(parts: Database, tmp_path: Path) -> None:
    await parts.execute("INSERT INTO parts VALUES (501, 'code-1', 'a')")
    with pytest.raises(asyncpg.UniqueViolationError):
        await parts.execute("CREATE UNIQUE INDEX CONCURRENTLY ix_parts_code ON parts (code)")
    assert await is_valid(parts, "ix_parts_code") is False
    await migrated(parts, later_release(tmp_path, (PLAIN, "")))
    assert await is_valid(parts, "ix_parts_code") is True


@pytest.mark.parametrize(
    "line",
    [
        PLAIN,
        UNIQUE.replace("uq_", "ix_"),
        'create_index_concurrently("ix_parts_code", "parts", ["kind", sa.text("code DESC NULLS LAST")])',
        'create_index_concurrently("ix_parts_code", "parts", ["code"], postgresql_include=["kind"])',
        'create_index_concurrently("ix_parts_code", "parts", [sa.text("code text_pattern_ops")])',
        'create_index_concurrently("ix_parts_code", "parts", ["code"], postgresql_using="hash")',
        'create_index_concurrently("ix_parts_code", "parts", ["code"], postgresql_with={"fillfactor": 70})',
    ],
)
async def test_an_index_that_is_there_is_left_alone_and_another_one_is_refused(
    parts: Database, tmp_path: Path, line: str
) -> None:
    twice = later_release(tmp_path / "twice", (line, ""), (line, ""))
    await migrated(parts, twice)
    assert await revision(parts) == "later2"
    other = 'create_index_concurrently("ix_parts_code", "parts", ["code", "kind"])'
    with pytest.raises(
        RevisionError, match="there is an index ix_parts_code already, and it is another one: CREATE"
    ):
        await migrated(parts, later_release(tmp_path / "other", ("", ""), ("", ""), (other, "")))
    assert await revision(parts) == "later2"
    assert await is_valid(parts, "ix_parts_code") is True


async def test_an_index_of_another_table_is_neither_dropped_nor_taken_for_this_one(
    parts: Database, tmp_path: Path
) -> None:
    await parts.execute("CREATE INDEX ix_parts_code ON products (name)")
    for number, line in enumerate((PLAIN, DROP)):
        with pytest.raises(RevisionError, match="of the table products and not of parts"):
            await migrated(parts, later_release(tmp_path / str(number), (line, "")))
    assert await is_valid(parts, "ix_parts_code") is True


async def test_what_a_revision_changed_before_is_not_committed_without_it(
    parts: Database, tmp_path: Path
) -> None:
    folder = later_release(tmp_path, (f'op.add_column("parts", sa.Column("more", sa.Text()))\n{PLAIN}', ""))
    with pytest.raises(RevisionError, match="changes something before the index ix_parts_code"):
        await migrated(parts, folder)
    assert not await parts.fetch(
        "SELECT FROM pg_attribute WHERE attrelid = 'shop.parts'::regclass AND attname = 'more'"
    )
    assert await is_valid(parts, "ix_parts_code") is None


async def test_duplicates_are_named_without_anybodys_data_and_nothing_is_left(
    parts: Database, tmp_path: Path
) -> None:
    await parts.execute(
        "INSERT INTO parts VALUES (501, 'CODE-1', 'a'), (502, 'Code-1', 'a'), (503, 'code-2', 'b')",
        "INSERT INTO parts VALUES (504, 'code-3', NULL)",
    )
    folder = later_release(tmp_path, (UNIQUE, ""))
    done = await to_thread.run_sync(run_shop_of, folder, parts.environ(tmp_path / "credentials"), "migrate")
    assert done.returncode == 1, done
    sentence = done.stderr.splitlines()[-1]
    assert (
        "the unique index uq_parts_code cannot be: 5 rows of parts share 2 values of (lower(code))"
        in sentence
    )
    assert "ode-1" not in done.stderr.lower()
    assert "the revision is not applied" in sentence
    query = sentence.split("found by: ")[1].rstrip('"}')
    async with transaction(parts) as connection:
        found = await connection.fetch(query)
    assert sorted((row[0], row[1]) for row in found) == [("code-1", 3), ("code-2", 2)]
    assert await is_valid(parts, "uq_parts_code") is None


async def test_while_a_build_waits_for_a_transaction_it_is_named_and_nobody_else_waits(
    parts: Database, tmp_path: Path
) -> None:
    folder = later_release(tmp_path, (PLAIN, ""))
    async with transaction(parts, "BEGIN", "UPDATE parts SET kind = 'b' WHERE id = 1") as writer:
        process = start_shop(folder, parts.environ(tmp_path / "credentials"), "migrate")
        try:
            (phase,) = await until(lambda: parts.fetch(PHASE.format(parts.name)), process)
            assert phase["phase"] == "waiting for writers before build"
            modes = {row["mode"] for row in await parts.fetch(LOCKS.format(phase["pid"]))}
            assert modes == {"ShareUpdateExclusiveLock"}
            async with transaction(parts, "SET lock_timeout = '100ms'") as service:
                await service.execute(
                    "UPDATE parts SET kind = 'c' WHERE id = 2; INSERT INTO parts VALUES (0, 'x', 'y')"
                )
            # Longer than other statements wait for a lock: this one is patient.
            await anyio.sleep(2.5)
            assert process.poll() is None
            pid = writer.get_server_pid()
            await writer.execute("COMMIT")
            _, said = await to_thread.run_sync(process.communicate)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0, said
    blocked = [json.loads(line) for line in said.splitlines() if "migration_blocked" in line]
    assert [each["pid"] for each in blocked[0]["blocked_by"]] == [pid]
    phases = [json.loads(line)["phase"] for line in said.splitlines() if '"index_build"' in line]
    assert phases[0] == "waiting for writers before build"
    assert await is_valid(parts, "ix_parts_code") is True


async def test_a_build_that_is_given_up_names_who_was_in_the_way_and_leaves_nothing(
    parts: Database, tmp_path: Path
) -> None:
    folder = later_release(tmp_path, (PLAIN, ""))
    environ = parts.environ(tmp_path / "credentials", SHOP_MIGRATE_RETRY_SECONDS="1")
    # A snapshot of another table: the build waits for it at its end, its removal does not.
    async with transaction(parts, "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT FROM products") as reader:
        done = await to_thread.run_sync(run_shop_of, folder, environ, "migrate")
        pid = reader.get_server_pid()
    assert done.returncode == 75, done
    assert f"pid {pid}, role postgres" in done.stderr.splitlines()[-1]
    assert await is_valid(parts, "ix_parts_code") is None
    await migrated(parts, folder)
    assert await is_valid(parts, "ix_parts_code") is True


@pytest.mark.parametrize(
    ("holding", "phase"),
    [
        (["BEGIN", "UPDATE parts SET kind = 'b' WHERE id = 1"], "waiting for writers before build"),
        (["BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT FROM products"], "waiting for old snapshots"),
    ],
)
async def test_killed_while_it_builds_the_next_run_needs_no_hand(
    parts: Database, tmp_path: Path, holding: list[str], phase: str
) -> None:
    folder = later_release(tmp_path, (UNIQUE, ""))
    environ = parts.environ(tmp_path / "credentials")
    async with transaction(parts, *holding):
        process = start_shop(folder, environ, "migrate")
        (seen,) = await until(lambda: parts.fetch(PHASE.format(parts.name)), process)
        while seen["phase"] != phase:
            (seen,) = await until(lambda: parts.fetch(PHASE.format(parts.name)), process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        # The holder is still there: the server notices the death while its session waits.
        await until(lambda: none_of(parts))
        assert await is_valid(parts, "uq_parts_code") is False
    done = await to_thread.run_sync(run_shop_of, folder, environ, "migrate")
    assert done.returncode == 0, done.stderr
    assert "unfinished_index_removed" in done.stderr
    assert await is_valid(parts, "uq_parts_code") is True


async def none_of(database: Database) -> bool:
    return not await database.fetch(SESSION.format(database.name))


async def test_of_two_migrations_at_once_one_builds_and_none_waits_for_the_other_in_a_circle(
    parts: Database, tmp_path: Path
) -> None:
    folder = later_release(tmp_path, (PLAIN, ""))
    environ = parts.environ(tmp_path / "credentials")
    async with transaction(parts, "BEGIN", "UPDATE parts SET kind = 'b' WHERE id = 1") as writer:
        processes = [start_shop(folder, environ, "migrate") for _ in range(2)]
        try:
            await until(lambda: parts.fetch(PHASE.format(parts.name)))
            await until(lambda: three_sessions(parts))
            await writer.execute("COMMIT")
            done = [await to_thread.run_sync(process.communicate) for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.wait()
    assert [process.returncode for process in processes] == [0, 0], done
    assert sum(said.count('"index_built"') for _, said in done) == 1
    assert sorted(json.loads(printed)["from"] for printed, _ in done)[-1] == "later1"


async def three_sessions(database: Database) -> bool:
    """The one that builds, the one that watches it, the one that waits."""
    return len(await database.fetch(SESSION.format(database.name))) >= 3
