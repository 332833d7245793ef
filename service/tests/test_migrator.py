"""The migrator's second session, which says who is in the way."""

import anyio
import pytest
import structlog
from sqlalchemy import pool, text
from sqlalchemy.ext.asyncio import create_async_engine

from conftest import Database
from shop.core.blockers import Session
from shop.core.database import connect_args, database_url
from shop.core.migrator import watching

pytestmark = pytest.mark.anyio

NAME = "watched"
ENDED = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND pid <> $2"


async def test_a_watcher_that_is_ended_fails_no_migration(database: Database) -> None:
    settings = database.settings()
    engine = create_async_engine(
        database_url(settings, settings.migrate_database_user, settings.migrate_database_password),
        connect_args=connect_args(settings, {"application_name": NAME}),
        poolclass=pool.NullPool,
    )
    holder = await database.cluster.connect(database.name)
    blockers: list[Session] = []
    try:
        with structlog.testing.capture_logs() as events:
            async with engine.connect() as connection:
                pid = await connection.scalar(text("SELECT pg_backend_pid()"))
                async with watching(engine, int(pid or 0), blockers):
                    with anyio.fail_after(60):
                        ended = []
                        while not ended:
                            ended = await holder.fetch(ENDED, NAME, pid)
                            await anyio.sleep(0.05)
                    # Longer than the pause between two looks: the next one finds its session gone.
                    await anyio.sleep(2)
                assert await connection.scalar(text("SELECT 1")) == 1
    finally:
        await holder.close()
        await engine.dispose()
    assert "migration_watch_ended" in [event["event"] for event in events]
