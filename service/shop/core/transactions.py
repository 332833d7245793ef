"""Reads in autocommit, writes in one transaction; what the database refuses becomes an answer."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

import structlog
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shop.core.database import DATABASE_ERRORS, is_unreachable, sqlstate
from shop.core.errors import RETRY_AFTER, AppError, ConstraintError

Result = TypeVar("Result")

ATTEMPTS = 3
# serialization_failure and deadlock_detected: the same work may succeed the next time.
REPEATABLE_STATES = ("40001", "40P01")
LOCK_NOT_AVAILABLE = "55P03"
QUERY_CANCELED = "57014"
READ_ONLY = "25006"
# A column that a statement names has another type now; the dialect forgets its statements when it says so.
STATEMENT_OUTDATED = PGDialect_asyncpg.import_dbapi().InvalidCachedStatementError  # type: ignore[no-untyped-call]

log = structlog.get_logger("shop.database")


def _unavailable(code: str, message: str, error: Exception) -> AppError:
    log.warning(code, reason=str(getattr(error, "orig", error)))
    return AppError(503, code, f"{message} Try again shortly.", headers=RETRY_AFTER)


def _constraint_name(error: IntegrityError) -> str:
    return getattr(getattr(error.orig, "__cause__", None), "constraint_name", None) or ""


def _is_repeatable(error: DBAPIError) -> bool:
    return sqlstate(error) in REPEATABLE_STATES or isinstance(error.orig, STATEMENT_OUTDATED)


@contextmanager
def answering_for_the_database() -> Iterator[None]:
    """Turn what the database says about its state into an AppError 503, a violated constraint into its name.

    Raises AppError, ConstraintError, or the error itself when a statement is at fault.
    """
    try:
        yield
    except PoolTimeout as error:
        raise _unavailable("database_busy", "All database connections are in use.", error) from None
    except IntegrityError as error:
        raise ConstraintError(_constraint_name(error), sqlstate(error)) from error
    except DATABASE_ERRORS as error:
        state = sqlstate(error)
        if state == LOCK_NOT_AVAILABLE:
            raise _unavailable("lock_timeout", "Others hold what this request needs.", error) from None
        if state == QUERY_CANCELED:
            raise _unavailable("database_timeout", "The database did not answer in time.", error) from None
        if state == READ_ONLY:
            raise _unavailable("database_read_only", "The database accepts no changes now.", error) from None
        if isinstance(getattr(error, "orig", None), STATEMENT_OUTDATED):
            raise _unavailable("schema_changed", "The database was just changed.", error) from None
        if state in REPEATABLE_STATES:
            raise _unavailable("database_contention", "Too many change the same thing.", error) from None
        if is_unreachable(error):
            raise _unavailable("database_unreachable", "The database cannot be reached.", error) from None
        raise


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection of `engine`: Resources.reads, whose autocommit saves a BEGIN and a ROLLBACK.

    Raises AppError with status 503 when the database cannot be reached, is too busy or too slow.
    """
    with answering_for_the_database():
        async with engine.connect() as connection:
            yield connection


async def in_transaction(engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
    """What `work` returns, after its transaction on `engine` (Resources.writes) is committed.

    `work` runs again, up to three times in all, when PostgreSQL breaks a deadlock or a serialization
    conflict, or when the schema changed under a prepared statement:
    it must have no effect outside the connection. Raises as answering_for_the_database does.
    """
    with answering_for_the_database():
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with engine.begin() as connection:
                    result = await work(connection)
                return result
            except DBAPIError as error:
                if not _is_repeatable(error) or attempt == ATTEMPTS:
                    raise
                log.info("transaction_repeated", attempt=attempt, sqlstate=sqlstate(error))
            await asyncio.sleep(random.uniform(0.005, 0.02) * attempt)  # noqa: S311 - spreads the attempts
    raise AssertionError("unreachable: the last attempt returns or raises")
