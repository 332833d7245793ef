"""What differs between psycopg, psycopg2 and asyncpg: how to connect, and what an error says."""

import asyncio
from collections.abc import Callable
from importlib.util import find_spec
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

# In this order: what a service has installed.
DRIVERS = ("psycopg", "psycopg2", "asyncpg")
# Connection failures, too many connections, shutdown or start of the server; in PostgreSQL's error classes.
UNREACHABLE_CLASSES = ("08", "28", "53", "57P")

T = TypeVar("T")


def installed() -> str | None:
    """The driver that is there; None without one."""
    return next((name for name in DRIVERS if find_spec(name)), None)


def connected(engine: Engine, work: Callable[[Connection], T]) -> T:
    """work(connection), on a driver that is asynchronous too, in an event loop of its own."""
    if not engine.dialect.is_async:
        try:
            with engine.connect() as connection:
                return work(connection)
        finally:
            engine.dispose()

    async def bridged() -> T:
        outer = AsyncEngine(engine)
        try:
            async with outer.connect() as connection:
                return await connection.run_sync(work)
        finally:
            await outer.dispose()

    return asyncio.run(bridged())


def beside(engine: Engine) -> Engine:
    """Another engine to the same server, by the same way in, with connections of its own."""
    return Engine(engine.pool.recreate(), engine.dialect, engine.url, hide_parameters=True)


def sqlstate(error: BaseException) -> str:
    """PostgreSQL's five-character code of an error, "" when the server sent none."""
    raised = getattr(error, "orig", None) or error
    return getattr(raised, "sqlstate", None) or getattr(raised, "pgcode", None) or ""


def is_the_databases(error: BaseException) -> bool:
    """True for what a driver raises: SQLAlchemy wraps it, but for asyncpg's while it connects."""
    return isinstance(error, DBAPIError) or _is_of_the_way(error) or bool(sqlstate(error))


def _is_of_the_way(error: BaseException) -> bool:
    """True for what a socket raises; a file of the service's own that is missing has a name."""
    if isinstance(error, OSError):
        return error.filename is None
    return isinstance(error, asyncio.TimeoutError)


def is_unreachable(error: BaseException) -> bool:
    """True when the server is away, is full, or refuses the role: the statement itself is not at fault."""
    if isinstance(error, DBAPIError) and not sqlstate(error) and error.statement is None:
        return True
    return (
        _is_of_the_way(error)
        or getattr(error, "connection_invalidated", False)
        or sqlstate(error).startswith(UNREACHABLE_CLASSES)
    )


def reason(error: BaseException) -> str:
    """Why a statement failed, one line: class, message, what it is about. DETAIL may show a row."""
    raised = getattr(error, "orig", None) or error
    said = getattr(raised, "__cause__", None) or raised
    words = " ".join(str(said).partition("\nDETAIL:")[0].split())
    if not sqlstate(error):
        return words
    about, source = [], getattr(said, "diag", said)
    for kind in ("schema", "table", "column", "constraint"):
        name = getattr(source, f"{kind}_name", None)
        about += [f"{kind} {name}"] if name else []
    # psycopg2 puts the statement behind the message, psycopg the place.
    words = words.partition(" LINE 1: ")[0]
    return f"{type(said).__name__}: {words}" + (f" ({', '.join(about)})" if about else "")
