"""A migration's session: one migrator at a time, and a line about whoever is in its way."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import structlog
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shop.core.blockers import BLOCKING, HOLDING, Session, sessions
from shop.core.schema import MigratorBusyError

# Any constant will do, as long as every release uses the same: "shop" in ASCII.
MIGRATION_LOCK = 0x73686F70
LOOK_SECONDS = 0.4
REPEAT_SECONDS = 10.0
BUILDING = text("""
SELECT p.index_relid::regclass::text AS index, p.phase, p.blocks_done, p.blocks_total, p.lockers_total,
  p.lockers_done
FROM pg_stat_progress_create_index AS p WHERE p.pid = :pid
""")
MODES = """
SELECT c.relname AS relation, l.mode
FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE l.pid = pg_backend_pid() AND l.granted AND c.relkind IN ('r', 'p', 'm', 'v')
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND c.relname NOT IN ('alembic_version', 'schema_changes')
"""
BESIDE = "ShareUpdateExclusiveLock"
STRENGTH = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    BESIDE,
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)

log = structlog.get_logger("shop.schema")


def _in_words(found: list[Session]) -> str:
    return "; ".join(map(str, found)) or "a session that has ended meanwhile"


async def take_lock(connection: AsyncConnection, seconds: float) -> None:
    """Become the one migrator of this database, until the session ends.

    Never queues in the server: it asks again until `seconds` are over, and says who holds the lock. Raises
    MigratorBusyError.
    """
    began, said = time.monotonic(), -REPEAT_SECONDS
    while True:
        # The lock is the session's: it outlives this transaction.
        async with connection.begin():
            if await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": MIGRATION_LOCK}):
                return
            holders = await sessions(connection, HOLDING, key=MIGRATION_LOCK)
        waited = time.monotonic() - began
        if waited >= seconds:
            raise MigratorBusyError(
                f"another migration still runs after {waited:.0f} s: {_in_words(holders)}"
            )
        if waited - said >= REPEAT_SECONDS:
            log.warning(
                "migration_waits_for_another",
                waited_seconds=round(waited, 1),
                held_by=[holder.as_fields() for holder in holders],
            )
            said = waited
        await asyncio.sleep(random.uniform(0.1, LOOK_SECONDS))  # noqa: S311 - spreads looks, guards nothing


@asynccontextmanager
async def watching(engine: AsyncEngine, pid: int, blockers: list[Session]) -> AsyncIterator[None]:
    """While the session `pid` works: a line for whoever blocks it; `blockers` keeps the last ones seen.

    While it builds an index: a line for each phase, and every ten seconds, about how far it is.
    """

    async def watch() -> None:
        said: set[int | None] = set()
        phase, told = "", -REPEAT_SECONDS
        async with engine.connect() as connection:
            while True:
                async with connection.begin():
                    found = await sessions(connection, BLOCKING, pid=pid)
                    building = (await connection.execute(BUILDING, {"pid": pid})).mappings().one_or_none()
                if building and (building["phase"] != phase or time.monotonic() - told >= REPEAT_SECONDS):
                    log.info("index_build", **building)
                    phase, told = building["phase"], time.monotonic()
                if found:
                    blockers[:] = found
                if found and {each.pid for each in found} != said:
                    log.warning("migration_blocked", blocked_by=[each.as_fields() for each in found])
                said = {each.pid for each in found}
                await asyncio.sleep(LOOK_SECONDS)

    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(ended, Exception):
            # Who is in the way is a courtesy: how the migration ended does not hang on it.
            log.warning("migration_watch_ended", reason=str(ended))


def strongest_lock(connection: Connection, beside: Iterable[str] = ()) -> tuple[str | None, list[str]]:
    """The strongest lock that the open transaction holds on the shop's tables, and on which.

    beside: tables of indexes that were built or dropped concurrently, whose locks are gone by then.
    """
    held = [(row.mode, row.relation) for row in connection.execute(text(MODES))]
    held += [(BESIDE, table) for table in beside]
    if not held:
        return None, []
    strongest = max((mode for mode, _ in held), key=STRENGTH.index)
    return strongest, sorted({relation for mode, relation in held if mode == strongest})
