"""The database: the declarative base, the engine and its connection settings, and connections for reading."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
from pydantic import SecretStr
from sqlalchemy import URL, MetaData, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from starlette.requests import Request

from shop.core.container import container_of
from shop.core.metrics import metrics
from shop.core.pool import CountingPool, replace_closed_connections
from shop.settings import MigrationSettings, Settings

SCHEMA = "shop"
# Six round trips, and a second or more for each packet of them that is lost.
CONNECT_TIMEOUT = 5.0
# Seconds for an answer to come back, beyond what a statement may take.
SILENCE = 1.0
# A second longer than a migration waits at a time: who queues behind one waits, and is not failed by it.
LOCK_TIMEOUT = "3s"
# Connection failures, too many connections, shutdown or start of the server; in PostgreSQL's error classes.
UNREACHABLE_CLASSES = ("08", "28", "53", "57P")
# SQLAlchemy wraps what a statement raises, but not what asyncpg raises while it connects.
DATABASE_ERRORS = (DBAPIError, asyncpg.PostgresError, OSError, asyncio.TimeoutError)


class Base(DeclarativeBase):
    """Every table's base: constraints have names, so that migrations and errors can speak of them."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "ix": "ix_%(table_name)s_%(column_0_name)s",
        }
    )


def database_url(settings: MigrationSettings, user: str, password: SecretStr | None) -> URL:
    """The address of the database for `user`; a socket directory goes into the query, where asyncpg looks."""
    local = settings.database_is_local
    return URL.create(
        "postgresql+asyncpg",
        username=user,
        password=password.get_secret_value() if password else None,
        host=None if local else settings.database_host,
        port=None if local else settings.database_port,
        database=settings.database_name,
        query={"host": settings.database_host, "port": str(settings.database_port)} if local else {},
    )


def connect_args(settings: MigrationSettings, server_settings: dict[str, str]) -> dict[str, Any]:
    """What asyncpg needs beside the address: TLS with the server's name checked, and session settings."""
    local = settings.database_is_local
    return {
        "ssl": False if local else ssl.create_default_context(cafile=settings.database_ca),
        "timeout": CONNECT_TIMEOUT,
        # Without this asyncpg looks for a password file in a home directory that a service does not have.
        "passfile": "/nonexistent",
        "server_settings": {
            "application_name": f"shop/{settings.release}",
            "search_path": SCHEMA,
            "timezone": "UTC",
            **server_settings,
        },
    }


@dataclass(frozen=True)
class Resources:
    """What the lifespan opens: one pool, used by `reads` in autocommit and by `writes` in transactions."""

    reads: AsyncEngine
    writes: AsyncEngine


def resources_of(request: Request) -> Resources:
    """The resources of the application that serves `request`."""
    return container_of(request).get(Resources)


def _count_query(_connection: object, _cursor: object, statement: str, *_: object) -> None:
    metrics().queries(statement).inc()


def create_engine(settings: MigrationSettings) -> AsyncEngine:
    """The service's engine; it connects at first use, so that a missing database delays no start."""
    engine = create_async_engine(
        database_url(settings, settings.database_user, settings.database_password),
        connect_args=connect_args(
            settings,
            {
                "jit": "off",
                "statement_timeout": f"{settings.database_statement_timeout}ms",
                "lock_timeout": LOCK_TIMEOUT,
                "idle_in_transaction_session_timeout": "10s",
            },
        )
        # The server ends what takes too long, and is not waited for where it has gone without a word.
        | {"command_timeout": settings.database_statement_timeout / 1000 + SILENCE},
        # The engine's own default, not an option of each read, which would set it and set it back.
        isolation_level="AUTOCOMMIT",
        poolclass=CountingPool,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_max_overflow,
        pool_timeout=settings.database_pool_timeout,
        pool_use_lifo=True,
        pool_recycle=1800,
        hide_parameters=True,
    )
    replace_closed_connections(engine)
    event.listen(engine.sync_engine, "before_cursor_execute", _count_query)
    return engine


def sqlstate(error: Exception) -> str:
    """PostgreSQL's five-character code of an error, "" when the server sent none."""
    return getattr(getattr(error, "orig", error), "sqlstate", None) or ""


def reason(error: Exception) -> str:
    """Why a statement failed, one line: class, message, what it is about. DETAIL may show a row."""
    adapted = getattr(error, "orig", error)
    said = getattr(adapted, "__cause__", None) or adapted
    if not sqlstate(error):
        return str(adapted)
    kinds = ("schema", "table", "column", "constraint")
    about = [f"{kind} {name}" for kind in kinds if (name := getattr(said, f"{kind}_name", None))]
    message = " ".join(str(said).partition("\nDETAIL:")[0].split())
    return f"{type(said).__name__}: {message}" + (f" ({', '.join(about)})" if about else "")


def is_unreachable(error: Exception) -> bool:
    """True when the server is away, is full, or refuses the role: the statement itself is not at fault."""
    return (
        isinstance(error, OSError | asyncio.TimeoutError)
        or getattr(error, "connection_invalidated", False)
        or sqlstate(error).startswith(UNREACHABLE_CLASSES)
    )


@asynccontextmanager
async def open_resources(settings: Settings) -> AsyncIterator[Resources]:
    """The resources for the life of one worker; every connection is closed at its end."""
    engine = create_engine(settings)
    try:
        yield Resources(reads=engine, writes=engine.execution_options(isolation_level="READ COMMITTED"))
    finally:
        await engine.dispose()
