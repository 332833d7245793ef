"""`shop purge`: rows that nobody needs any more, in small transactions beside the running service."""

import asyncio
from argparse import Namespace

from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.ext.asyncio import AsyncEngine

from shop.cli.output import say, speaking_of
from shop.core import idempotency
from shop.core.configuration import load_settings
from shop.core.database import create_engine
from shop.core.logging import configure_logging
from shop.domains import DOMAINS
from shop.settings import MaintenanceSettings

BATCH = 1000
# A purge that met so many batches in one table goes on with them the next time.
BATCHES = 1000
# By table, the condition of the rows that nobody needs.
UNNEEDED = {
    **{table: condition for domain in DOMAINS for table, condition in domain.purged.items()},
    **idempotency.PURGED,
}


def _statement(table: str, condition: str) -> TextClause:
    # SKIP LOCKED: a purge on another host at the same moment takes other rows, and neither waits.
    return text(
        f"DELETE FROM {table} WHERE ctid = ANY(ARRAY("  # noqa: S608 - both are constants of the domains
        f"SELECT ctid FROM {table} WHERE {condition} LIMIT :batch FOR UPDATE SKIP LOCKED))"
    ).bindparams(bindparam("batch", BATCH))


async def purge_rows(engine: AsyncEngine) -> dict[str, int]:
    """Delete what is unneeded, 1000 rows a transaction; returns the number of rows per table."""
    deleted = {}
    async with engine.connect() as connection:
        for table, condition in UNNEEDED.items():
            statement, deleted[table] = _statement(table, condition), 0
            for _ in range(BATCHES):
                rows = (await connection.execute(statement)).rowcount
                deleted[table] += rows
                if rows < BATCH:
                    break
    return deleted


async def _purge(settings: MaintenanceSettings) -> dict[str, int]:
    engine = create_engine(settings)
    try:
        return await purge_rows(engine)
    finally:
        await engine.dispose()


def purge(_: Namespace) -> int:
    """Delete expired refresh tokens, and idempotency keys older than a day; print how many."""
    settings = load_settings(MaintenanceSettings)
    configure_logging(settings.log_level, settings.release, stream="stderr")
    with speaking_of(settings, "The purge"):
        deleted = asyncio.run(_purge(settings))
    say({"deleted": deleted})
    return 0
