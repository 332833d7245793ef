"""Connections that died in the pool are replaced before use, without asking the server each time."""

from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine


def _refuse_closed(connection: Any, _record: object, _proxy: object) -> None:
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError("PostgreSQL has closed this connection")


def replace_closed_connections(engine: AsyncEngine) -> None:
    """Never hand out a connection that the server has closed: all that are older go with it.

    asyncpg notices the end of its socket by itself, so a look costs nothing; SQLAlchemy's pre-ping is a round
    trip, as dear as a small read. What dies between the look and the answer is the reader's to repeat.
    """
    event.listen(engine.sync_engine.pool, "checkout", _refuse_closed)
