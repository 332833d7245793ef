"""What a migration that waits for its locks costs those who use the table meanwhile."""

import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import asyncpg
import pytest
from anyio import to_thread
from sqlalchemy import text

from conftest import Database
from revisions import later_release, start_shop
from shop.core.database import create_engine

pytestmark = pytest.mark.anyio

COLUMN = 'op.add_column("products", sa.Column("brand", sa.Text()))'
INDEX = 'create_index_concurrently("ix_products_brand", "products", ["price"])'
STATEMENTS = (
    "SELECT name, price FROM products WHERE id = (SELECT id FROM products LIMIT 1)",
    "UPDATE products SET stock = stock + 1, version = version + 1 WHERE sku = 'CUP-200'",
)
BEHIND = """
SELECT count(*) FROM pg_stat_activity AS waiting
JOIN pg_stat_activity AS migrator ON migrator.pid = ANY (pg_blocking_pids(waiting.pid))
WHERE waiting.application_name = 'shop/traffic' AND migrator.application_name LIKE 'shop-migrate/%'
  AND waiting.datname = current_database()
"""


class Traffic:
    """Statements of the service, one after the other on several sessions; each one that fails is kept.

    The server fails whoever waits a second longer than the migrator does: that is the service's own limit.
    """

    def __init__(self, database: Database) -> None:
        self.database, self.done, self.behind = database, 0, 0
        self.failed: list[str] = []

    async def session(self, statement: str) -> None:
        engine = create_engine(self.database.settings(release="traffic"))
        try:
            async with engine.connect() as connection:
                while True:
                    try:
                        await connection.execute(text(statement))
                        self.done += 1
                    except Exception as error:
                        self.failed.append(str(error))
                    await anyio.sleep(0.01)
        finally:
            await engine.dispose()

    async def goes_on(self) -> None:
        """Wait for a hundred statements more."""
        wanted = self.done + len(self.failed) + 100
        with anyio.fail_after(60):
            while self.done + len(self.failed) < wanted:  # noqa: ASYNC110 - they have no event of their own
                await anyio.sleep(0.02)

    async def look(self) -> None:
        """Count the looks that found one of them waiting for the migrator."""
        connection = await self.database.cluster.connect(self.database.name)
        try:
            while True:
                self.behind += await connection.fetchval(BEHIND)
                await anyio.sleep(0.02)
        finally:
            await connection.close()


@asynccontextmanager
async def under_traffic(database: Database) -> AsyncIterator[Traffic]:
    """Two readers and two writers, for as long as the block runs."""
    traffic = Traffic(database)
    async with anyio.create_task_group() as tasks:
        for statement in STATEMENTS * 2:
            tasks.start_soon(traffic.session, statement)
        tasks.start_soon(traffic.look)
        await traffic.goes_on()
        yield traffic
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def report(database: Database) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A report that reads the products in one long transaction."""
    connection = await database.cluster.connect(database.name)
    try:
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM shop.products")
        yield connection
    finally:
        await connection.close()


def heard(process: "subprocess.Popen[str]", event: str) -> list[str]:
    """The events a migrator logs, up to the first of this one."""
    assert process.stderr is not None
    events = []
    for line in process.stderr:
        events.append(json.loads(line)["event"])
        if events[-1] == event:
            return events
    raise AssertionError(f"the migrator ended without {event}: {events}")


@pytest.mark.parametrize(("line", "waits"), [(COLUMN, True), (INDEX, False)], ids=["column", "index"])
async def test_no_statement_of_the_service_waits_longer_for_a_blocked_migration_than_its_lock_timeout(
    database: Database, tmp_path: Path, line: str, waits: bool
) -> None:
    folder = later_release(tmp_path / "later", line)
    process = None
    try:
        async with under_traffic(database) as traffic:
            async with report(database) as reader:
                process = start_shop(folder, database.environ(tmp_path / "credentials"), "migrate")
                # A whole try of the column; the index is blocked for as long as the report takes.
                until = "migration_waits_for_lock" if waits else "migration_blocked"
                began = await to_thread.run_sync(heard, process, until)
                await traffic.goes_on()
                await reader.execute("COMMIT")
            _, rest = await to_thread.run_sync(process.communicate)
            await traffic.goes_on()
    finally:
        if process is not None:
            process.kill()
            process.wait()
    assert process.returncode == 0, rest
    assert "migration_blocked" in began
    assert traffic.failed == []
    # Somebody did wait behind the column; behind the index nobody ever does.
    assert (traffic.behind > 0) == waits
    assert (await database.fetch("SELECT version_num FROM shop.alembic_version"))[0][0] == "later1"
