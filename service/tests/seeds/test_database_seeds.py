"""The articles' mistakes about engines, sessions, models and times, each as the service does it now.

S0 is the guide to Ubuntu, FastAPI and PostgreSQL, S1 the one on deployment and tuning, S2 the trade-offs. The
item is the number of the mistake in the inventory of the articles.
"""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

import httpx2
import pydantic
import pytest
from fastapi import Depends, FastAPI
from pydantic.errors import PydanticSchemaGenerationError
from sqlalchemy import AsyncAdaptedQueuePool, QueuePool, func, insert, inspect, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Mapped, mapped_column

from conftest import RELEASE, Database
from shop.core.database import connect_args, create_engine, database_url
from shop.core.transactions import in_transaction, reading
from shop.products.models import Product
from sources import calls, modules

pytestmark = [pytest.mark.anyio, pytest.mark.differs("sessions, plans and statistics are the server's")]


@pytest.fixture
async def engine(database: Database) -> AsyncIterator[AsyncEngine]:
    """The service's own engine."""
    engine = create_engine(database.settings())
    yield engine
    await engine.dispose()


def cup(**changes: Any) -> dict[str, Any]:
    return {
        "id": uuid.uuid4(), "sku": str(uuid.uuid4()), "name": "Cup", "category": "cups", "price": 1, **changes
    }  # fmt: skip


async def cut(database: Database) -> None:
    """End every connection of the service, and wait until it has ended."""
    await database.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
        f"WHERE datname = '{database.name}' AND usename = 'shop'"
    )


async def test_statements_are_prepared_once_without_an_option_that_nobody_knows(engine: AsyncEngine) -> None:
    """S0, item 22: `prepare_statement` is no option; it is accepted without a word and does nothing."""
    engine.execution_options(prepare_statement=True, nobody_knows_this=True)
    statement = select(Product.name).where(Product.id == uuid.uuid4())
    async with reading(engine) as connection:
        await connection.execute(statement)
        await connection.execute(statement)
        prepared = await connection.execute(
            text("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT products.name%'")
        )
        assert prepared.scalar_one() == 1


async def test_an_asynchronous_engine_has_a_pool_of_its_own(database: Database, engine: AsyncEngine) -> None:
    """S1, item 23: `poolclass=QueuePool` is refused by an asynchronous engine."""
    settings = database.settings()
    url = database_url(settings, settings.database_user, settings.database_password)
    with pytest.raises(ArgumentError, match="cannot be used with asyncio engine"):
        create_async_engine(url, poolclass=QueuePool)
    assert isinstance(engine.pool, AsyncAdaptedQueuePool)


async def test_nothing_but_the_pool_notices_a_connection_that_was_cut(
    database: Database, engine: AsyncEngine
) -> None:
    """S1, item 24: `pool_pre_ping=False`, "asyncpg has its own check": its pool, which is not in use, has."""
    settings = database.settings()
    unchecked = create_async_engine(
        database_url(settings, settings.database_user, settings.database_password),
        connect_args=connect_args(settings, {}),
        pool_pre_ping=False,
    )
    try:
        for each in (unchecked, engine):
            async with each.connect() as connection:
                await connection.execute(text("SELECT 1"))
        await cut(database)
        with pytest.raises(DBAPIError):
            async with unchecked.connect() as connection:
                await connection.execute(text("SELECT 1"))
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
    finally:
        await unchecked.dispose()


async def test_a_session_has_the_limits_of_a_request(engine: AsyncEngine) -> None:
    """S1, item 25: `statement_timeout` of 30 s outlives the proxy's patience; no limit for locks, no name."""
    expected = {
        "jit": "off",
        "statement_timeout": "5s",
        "lock_timeout": "3s",
        "idle_in_transaction_session_timeout": "10s",
        "application_name": f"shop/{RELEASE}",
        "TimeZone": "UTC",
    }
    async with reading(engine) as connection:
        shown = {name: (await connection.execute(text(f"SHOW {name}"))).scalar_one() for name in expected}
    assert shown == expected


async def test_a_session_without_autoflush_does_not_see_its_own_writes(engine: AsyncEngine) -> None:
    """S1 and S2, item 26: `autoflush=False`. The service writes statements and has no session to flush."""
    writes = engine.execution_options(isolation_level="READ COMMITTED")
    seen = {}
    for autoflush in (False, True):
        async with AsyncSession(writes, autoflush=autoflush) as session:
            product = Product(**cup(sku=f"autoflush-{autoflush}"))
            session.add(product)
            count = select(func.count()).select_from(Product).where(Product.sku == product.sku)
            seen[autoflush] = (await session.execute(count)).scalar_one()
            await session.rollback()
    assert seen == {False: 0, True: 1}
    assert [path for path, tree in modules() if calls(tree) & {"sessionmaker", "async_sessionmaker"}] == []


async def test_a_context_manager_is_no_dependency() -> None:
    """S1, item 27: `get_db` as `@asynccontextmanager` in `Depends` gives the endpoint no session."""

    @asynccontextmanager
    async def get_db() -> AsyncIterator[str]:
        yield "session"

    app = FastAPI()

    @app.get("/")
    async def endpoint(session: Annotated[Any, Depends(get_db)]) -> bool:
        return isinstance(session, str)

    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://shop.test") as client:
        with pytest.raises(TypeError, match="not an async iterator"):
            await client.get("/")
    used = {path.name for path, tree in modules() if "get_db" in calls(tree)}
    assert used == set()


def test_a_schema_of_answers_is_no_table() -> None:
    """S0, item 29: `UserDB(User)` with a Pydantic model as the base of a table."""

    class User(pydantic.BaseModel):
        name: str

    with pytest.raises(PydanticSchemaGenerationError):

        class UserDB(User):
            id: Mapped[int] = mapped_column(primary_key=True)

    assert not issubclass(Product, pydantic.BaseModel)


async def test_a_time_without_a_zone_takes_no_time_with_one(database: Database, engine: AsyncEngine) -> None:
    """S0, item 30: `DateTime` without a zone and `datetime.utcnow` as its default."""
    await database.execute("CREATE TABLE moments (naive timestamp, aware timestamptz)")
    await database.execute("GRANT ALL ON moments TO shop")
    now = datetime.now(timezone.utc)
    with pytest.raises(DBAPIError, match="offset-naive and offset-aware"):
        async with engine.connect() as connection:
            await connection.execute(text("INSERT INTO moments (naive) VALUES (:now)"), {"now": now})
    async with engine.connect() as connection:
        await connection.execute(text("INSERT INTO moments (aware) VALUES (:now)"), {"now": now})
        await connection.execute(insert(Product), [cup(sku="now")])
        kept = (await connection.execute(text("SELECT aware FROM moments"))).scalar_one()
        created = (
            await connection.execute(select(Product.created_at).where(Product.sku == "now"))
        ).scalar_one()
    assert kept == now
    assert created.utcoffset() == timedelta(0)
    assert abs(created - now) < timedelta(minutes=1)


def test_no_module_asks_for_a_time_without_a_zone() -> None:
    """S0, item 31, kept: times are aware and in UTC; `utcnow` appears nowhere."""
    assert [path for path, tree in modules() if "utcnow" in calls(tree)] == []


async def test_an_id_is_there_after_the_insert_without_a_refresh(engine: AsyncEngine) -> None:
    """S0, item 32: "`refresh()` is required or id is None": RETURNING has it, in the same round trip."""
    writes = engine.execution_options(isolation_level="READ COMMITTED")
    async with AsyncSession(writes) as session:
        product = Product(**cup())
        session.add(product)
        await session.flush()
        assert inspect(product).identity == (product.id,)
        await session.rollback()
    statement = insert(Product).values(cup()).returning(Product.version, Product.created_at)

    async def create(connection: AsyncConnection) -> Any:
        return (await connection.execute(statement)).one()

    row = await in_transaction(writes, create)
    assert row.version == 1
    assert row.created_at.tzinfo is not None


async def test_a_helper_that_commits_ends_the_work_of_its_caller(
    database: Database, engine: AsyncEngine
) -> None:
    """S1, item 39: `BulkOperations` committed inside; what failed after it could not be taken back."""
    writes = engine.execution_options(isolation_level="READ COMMITTED")

    async def bulk_insert(session: AsyncSession, rows: list[dict[str, Any]]) -> None:
        await session.execute(insert(Product), rows)
        await session.commit()

    async with AsyncSession(writes) as session:
        await session.execute(insert(Product), [cup(category="before")])
        await bulk_insert(session, [cup(category="bulk") for _ in range(1000)])
        await session.rollback()
    count = "SELECT count(*) FROM shop.products WHERE category = 'before'"
    assert (await database.fetch(count))[0]["count"] == 1, "the caller's row should not have been kept"

    async def fails_at_the_end(connection: AsyncConnection) -> None:
        await connection.execute(insert(Product), [cup(category="ours") for _ in range(1000)])
        raise RuntimeError("after the last row")

    with pytest.raises(RuntimeError):
        await in_transaction(writes, fails_at_the_end)
    ours = "SELECT count(*) FROM shop.products WHERE category = 'ours'"
    assert (await database.fetch(ours))[0]["count"] == 0
    assert [path for path, tree in modules() if "commit" in calls(tree)] == []
