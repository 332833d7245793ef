"""Reads of one round trip: as complete as the slow way, and unharmed by a database that restarts."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

import httpx2
import pytest
from sqlalchemy import Double, bindparam, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncEngine

from catalogue import CATALOGUE
from conftest import Database, Serve, migrate, run
from postgresql import Cluster
from shop.core.database import create_engine
from shop.core.errors import AppError
from shop.core.reads import Read
from shop.core.transactions import in_transaction, reading
from shop.products.models import Product
from shop.products.schemas import ProductPage, ProductRead

pytestmark = [pytest.mark.anyio, pytest.mark.differs("what a cancelled task leaves is the interpreter's")]

PRODUCTS = "/api/v1/products"
GREEN_TEA = "019b76da-a800-7000-8000-000000000001"
NAME = Read(select(Product.name).where(Product.id == bindparam("id")))
SLOW = Read(select(func.pg_sleep(bindparam("seconds", type_=Double))))
BROKEN = Read(select(literal_column("no_such_column")).select_from(Product.__table__))


@pytest.fixture
def own_cluster() -> Iterator[Database]:
    """A database whose server this test may stop."""
    cluster = Cluster()
    try:
        cluster.create()
        cluster.start()
        run(cluster.create_roles)
        run(cluster.create_database, "shop")
        database = Database(cluster, "shop")
        migrate(database)
        run(database.execute, CATALOGUE)
        yield database
    finally:
        cluster.remove()


@pytest.fixture
async def engine(shared_database: Database) -> AsyncIterator[AsyncEngine]:
    """The service's engine: a pool of 2 and 1 more."""
    engine = create_engine(shared_database.settings())
    yield engine
    await engine.dispose()


async def restart(cluster: Cluster) -> None:
    await asyncio.to_thread(cluster.stop)
    await asyncio.to_thread(cluster.start)


async def test_rows_have_every_column_as_python_knows_it(engine: AsyncEngine) -> None:
    statement = Read(select(*Product.__table__.columns).where(Product.id == bindparam("id")))
    (row,) = await statement.fetch(engine, id=uuid.UUID(GREEN_TEA))
    assert isinstance(row["id"], uuid.UUID)
    assert row["price"] == Decimal("7.90")
    assert row["created_at"].utcoffset().total_seconds() == 0


async def test_what_is_written_by_hand_is_what_the_model_would_write(
    client: httpx2.AsyncClient, database: Database
) -> None:
    await database.execute(
        "INSERT INTO products (id, sku, name, category, price, stock, created_at, updated_at) VALUES "
        "('019b76da-b000-7000-8000-000000000001', 'A', E'caf\\u00e9 \"&\\\\', 'odd', 0, 0, "
        "'2026-01-02 03:04:05.006+09', '1999-12-31 23:59:59Z')"
    )
    page = (await client.get(PRODUCTS, params={"limit": 2})).text
    assert page == ProductPage.model_validate_json(page).model_dump_json()
    product = (await client.get(f"{PRODUCTS}/{GREEN_TEA}")).text
    assert product == ProductRead.model_validate_json(product).model_dump_json()


async def test_a_restart_of_the_database_fails_no_read(own_cluster: Database, serve: Serve) -> None:
    async with serve(own_cluster.settings()) as client:
        first = await asyncio.gather(*(client.get(f"{PRODUCTS}/{GREEN_TEA}") for _ in range(3)))
        await restart(own_cluster.cluster)
        second = await asyncio.gather(*(client.get(f"{PRODUCTS}/{GREEN_TEA}") for _ in range(12)))
    assert [response.status_code for response in first + second] == [200] * 15


async def test_reads_during_a_restart_are_answered_or_told_to_come_again(
    own_cluster: Database, serve: Serve
) -> None:
    answers: list[httpx2.Response] = []
    async with serve(own_cluster.settings()) as client:

        async def keep_reading() -> None:
            while True:
                answers.append(await client.get(f"{PRODUCTS}/{GREEN_TEA}"))

        readers = [asyncio.ensure_future(keep_reading()) for _ in range(3)]
        await asyncio.sleep(0.3)
        await restart(own_cluster.cluster)
        await asyncio.sleep(0.3)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        last = await client.get(f"{PRODUCTS}/{GREEN_TEA}")
    refused = [response for response in answers if response.status_code != 200]
    assert {response.status_code for response in refused} <= {503}, refused[0].text
    assert all(response.headers["retry-after"] == "1" for response in refused)
    assert last.status_code == 200


async def test_a_connection_that_dies_under_a_read_costs_a_second_attempt(
    engine: AsyncEngine, shared_database: Database
) -> None:
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = '{shared_database.name}' AND query LIKE '%pg_sleep(%' AND pid <> pg_backend_pid()"
    )
    read = asyncio.ensure_future(SLOW.fetch(engine, seconds=0.6))
    await asyncio.sleep(0.3)
    killed = await shared_database.fetch(kill)
    assert len(killed) == 1
    assert len(await read) == 1
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_other_statements_too_get_no_connection_the_server_closed(
    engine: AsyncEngine, shared_database: Database
) -> None:
    async def ask(connection: object) -> object:
        return await connection.scalar(select(1))  # type: ignore[attr-defined]

    async with reading(engine) as connection:
        assert await ask(connection) == 1
    await shared_database.fetch(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{shared_database.name}' "
        "AND pid <> pg_backend_pid()"
    )
    await asyncio.sleep(0.1)
    writes = engine.execution_options(isolation_level="READ COMMITTED")
    assert await in_transaction(writes, ask) == 1


async def test_a_cancelled_read_leaves_nothing_behind(engine: AsyncEngine) -> None:
    for _ in range(5):
        read = asyncio.ensure_future(SLOW.fetch(engine, seconds=3))
        await asyncio.sleep(0.05)
        read.cancel()
        with pytest.raises(asyncio.CancelledError):
            await read
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    assert (await NAME.fetch(engine, id=uuid.UUID(GREEN_TEA)))[0]["name"] == "Green tea, 100 g"


async def test_more_readers_than_the_pool_keeps_are_all_answered(engine: AsyncEngine) -> None:
    rows = await asyncio.gather(*(SLOW.fetch(engine, seconds=0.05) for _ in range(9)))
    assert len(rows) == 9
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_a_full_pool_is_a_503_that_says_so(shared_database: Database) -> None:
    settings = shared_database.settings(
        database_pool_size=1, database_max_overflow=0, database_pool_timeout=0.1
    )
    engine = create_engine(settings)
    try:
        async with engine.connect():
            with pytest.raises(AppError) as refused:
                await NAME.fetch(engine, id=uuid.UUID(GREEN_TEA))
    finally:
        await engine.dispose()
    assert (refused.value.status, refused.value.code) == (503, "database_busy")


async def test_a_statement_at_fault_is_no_dead_connection(engine: AsyncEngine) -> None:
    with pytest.raises(Exception, match="no_such_column"):
        await BROKEN.fetch(engine)
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    assert engine.pool.checkedin() == 1  # type: ignore[attr-defined]
