"""The connection pool: who waits at it is counted, and what died in it is replaced before use."""

from typing import Any, cast

from pydantic import BaseModel
from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.util.queue import AsyncAdaptedQueue


class _Queue(AsyncAdaptedQueue[Any]):
    waiters = 0

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if not block or not self.empty():
            return super().get(block, timeout)
        self.waiters += 1
        try:
            return super().get(block, timeout)
        finally:
            self.waiters -= 1


class CountingPool(AsyncAdaptedQueuePool):
    """AsyncAdaptedQueuePool whose free connections are kept in a queue that counts who waits at it."""

    _queue_class = _Queue

    @property
    def waiters(self) -> int:
        """How many wait for a connection now."""
        return cast(_Queue, self._pool).waiters


class PoolFacts(BaseModel):
    """The numbers of one worker's pool, in connections; `waiters` in requests."""

    checked_out: int
    checked_in: int
    overflow: int
    size: int
    waiters: int


def pool_facts(engine: AsyncEngine) -> PoolFacts:
    """What the pool of `engine` holds now; `overflow` counts from 0, where SQLAlchemy counts from -size."""
    pool = cast(CountingPool, engine.pool)
    return PoolFacts(
        checked_out=pool.checkedout(),
        checked_in=pool.checkedin(),
        overflow=max(0, pool.overflow()),
        size=pool.size(),
        waiters=pool.waiters,
    )


def _refuse_closed(connection: Any, _record: object, _proxy: object) -> None:
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError("PostgreSQL has closed this connection")


def replace_closed_connections(engine: AsyncEngine) -> None:
    """Never hand out a connection that the server has closed: all that are older go with it.

    asyncpg notices the end of its socket by itself, so a look costs nothing; SQLAlchemy's pre-ping is a round
    trip, as dear as a small read. What dies between the look and the answer is the reader's to repeat.
    """
    event.listen(engine.sync_engine.pool, "checkout", _refuse_closed)
