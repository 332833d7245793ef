"""How often the service and PostgreSQL wait for each other: counted between them, on the wire."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx2
import pytest

from conftest import Database, Serve
from orders.conftest import ACCOUNTS, Customer, NewCustomer, NewProduct

pytestmark = pytest.mark.anyio

# PostgreSQL, "Message Formats": what a client sends and then waits for the answer to.
QUERY, SYNC = b"Q", b"S"


class Wire:
    """A socket in front of PostgreSQL's that passes everything on and counts round trips."""

    def __init__(self, database: Database, directory: Path) -> None:
        name = f".s.PGSQL.{database.cluster.port}"
        self.address = directory / name
        self.server = database.cluster.socket_directory / name
        self.round_trips = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of the service."""
        answers, requests = await asyncio.open_unix_connection(self.server)
        copying = asyncio.create_task(self._copy(answers, writer))
        try:
            # The first message has no type.
            await self._message(reader, requests)
            while True:
                kind = await reader.readexactly(1)
                self.round_trips += kind in (QUERY, SYNC)
                requests.write(kind)
                await self._message(reader, requests)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            copying.cancel()
            requests.close()
            writer.close()

    async def _message(self, reader: asyncio.StreamReader, requests: asyncio.StreamWriter) -> None:
        length = await reader.readexactly(4)
        requests.write(length + await reader.readexactly(int.from_bytes(length, "big") - 4))

    async def _copy(self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await answers.read(65536):
            writer.write(part)
        # PostgreSQL has hung up, and the service waits for that.
        writer.close()


@pytest.fixture
async def wire(database: Database) -> AsyncIterator[Wire]:
    """The wire between the service of this test and its database."""
    directory = Path(tempfile.mkdtemp(prefix="wire-"))
    wire = Wire(database, directory)
    server = await asyncio.start_unix_server(wire, wire.address)
    yield wire
    server.close()
    shutil.rmtree(directory)


@pytest.fixture
async def client(database: Database, serve: Serve, wire: Wire) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a service with one connection, over the wire."""
    settings = database.settings(
        database_host=str(wire.address.parent), database_pool_size=1, database_max_overflow=0
    )
    async with serve(settings) as client:
        yield client


Cost = Callable[[Callable[[], Awaitable[httpx2.Response]]], Awaitable[int]]


@pytest.fixture
def cost(wire: Wire) -> Cost:
    """The round trips of a request once its statements are prepared and its user is known."""

    async def measure(request: Callable[[], Awaitable[httpx2.Response]]) -> int:
        for _ in range(2):
            before = wire.round_trips
            response = await request()
            assert response.is_success, response.text
        return wire.round_trips - before

    return measure


# Each connection is tried before its use: that is one of the round trips of each request.
async def test_an_order_of_one_product_is_a_single_statement(
    customer: Customer, new_product: NewProduct, cost: Cost
) -> None:
    product = await new_product(stock=100)
    assert await cost(lambda: customer.order((product, 1))) <= 2
    keys = iter(("first", "second"))
    assert await cost(lambda: customer.order((product, 1), key=next(keys))) <= 2
    assert await cost(lambda: customer.order((product, 1), key="first")) <= 2


async def test_an_order_of_several_products_is_two_statements_in_a_transaction(
    customer: Customer, new_product: NewProduct, cost: Cost
) -> None:
    lines = [(await new_product(stock=100), 1) for _ in range(20)]
    assert await cost(lambda: customer.order(*lines)) <= 5


async def test_a_list_is_one_statement_however_long_it_is(
    customer: Customer, new_product: NewProduct, cost: Cost
) -> None:
    product = await new_product(stock=100)
    for _ in range(20):
        await customer.order((product, 1))
    assert await cost(lambda: customer.get(customer.orders, limit=20)) <= 2
    assert await cost(lambda: customer.get(ACCOUNTS)) <= 2


async def test_an_order_is_cancelled_and_paid_in_a_single_statement(
    customer: Customer, new_customer: NewCustomer, new_product: NewProduct, cost: Cost
) -> None:
    products = [await new_product(stock=100) for _ in range(5)]
    for action in ("cancel", "pay"):
        placed = [await customer.order(*((product, 1) for product in products)) for _ in range(2)]
        paths = iter([f"{order.headers['location']}/{action}" for order in placed])
        # One for the account, one for the order; each connection is tried first.
        assert await cost(lambda paths=paths: customer.post(next(paths))) <= 4
