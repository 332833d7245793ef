"""The hot read: a statement compiled once, one round trip, rows as the driver gives them."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Engine, Select
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only, greenlet_spawn

from shop.core.database import is_unreachable
from shop.core.metrics import metrics
from shop.core.transactions import answering_for_the_database

Rows = Sequence[Mapping[str, Any]]


class ConnectionLost(OSError):
    """The connection died under a statement."""


def dump_json(value: object) -> bytes:
    """The JSON of rows as their models would write it: decimals and ids as text, times in UTC with a Z.

    The database has checked these values already; validating them once more would only cost.
    """
    return orjson.dumps(value, default=str, option=orjson.OPT_UTC_Z)


class Read:
    """A SELECT that many requests repeat: on a connection of SQLAlchemy's pool, run by asyncpg itself.

    SQLAlchemy's own execution costs more than PostgreSQL's. Values and columns are asyncpg's: UUID, Decimal,
    aware datetime and Python's plain types.
    """

    def __init__(self, statement: Select[Any]) -> None:
        dialect = PGDialect_asyncpg()  # type: ignore[no-untyped-call]
        compiled = statement.compile(dialect=dialect)
        self._sql = str(compiled)
        self._names = tuple(compiled.positiontup or ())

    async def fetch(self, engine: AsyncEngine, **values: object) -> Rows:
        """All rows for these values of the statement's parameters; `engine` is Resources.reads.

        A connection that turns out to be dead costs a second attempt, not an answer.
        Raises AppError with status 503 when the database cannot be reached, is too busy or too slow.
        """
        arguments = [values[name] for name in self._names]
        with answering_for_the_database():
            try:
                return await greenlet_spawn(self._attempt, engine.sync_engine, arguments)
            except ConnectionLost:
                return await greenlet_spawn(self._attempt, engine.sync_engine, arguments)

    def _attempt(self, engine: Engine, arguments: list[object]) -> Rows:
        metrics().queries(self._sql).inc()
        pooled = engine.raw_connection()
        driver: Any = pooled.driver_connection
        try:
            rows: Rows = await_only(driver.fetch(self._sql, *arguments))
        except Exception as error:
            if not driver.is_closed() and not is_unreachable(error):
                raise
            pooled.invalidate(error)
            raise ConnectionLost(str(error)) from error
        except BaseException as error:
            # The request was cancelled: PostgreSQL may still be at work on this connection.
            pooled.invalidate(error)
            raise
        finally:
            pooled.close()
        return rows
