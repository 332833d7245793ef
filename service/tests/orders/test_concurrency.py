"""Twenty clients at once, each on connections of its own, of a service with two workers."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest

from conftest import Database
from orders.conftest import Customer, NewCustomer, NewProduct, check_invariants, count, stock_of
from running import Service

pytestmark = [pytest.mark.anyio, pytest.mark.differs("who waits for whom is the server's")]

CLIENTS = 20


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Iterator[Service]:
    """The service as processes, with fewer connections than it has clients."""
    environ = database.environ(
        tmp_path / "credentials",
        SHOP_WORKERS="2",
        SHOP_DATABASE_POOL_SIZE="4",
        SHOP_DATABASE_MAX_OVERFLOW="2",
        SHOP_DATABASE_POOL_TIMEOUT="30",
    )
    service = Service(tmp_path, environ)
    try:
        service.wait_until_ready()
        yield service
    finally:
        service.stop()


@pytest.fixture
async def customers(service: Service, new_customer: NewCustomer) -> AsyncIterator[list[Customer]]:
    """Customers with an account and connections each."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                httpx2.AsyncClient(
                    transport=httpx2.AsyncHTTPTransport(uds=str(service.socket)),
                    base_url="http://shop.test",
                    timeout=60,
                )
            )
            for _ in range(CLIENTS)
        ]
        yield [await new_customer(client) for client in clients]


async def test_one_product_is_sold_to_the_last_piece_and_no_further(
    customers: list[Customer], new_product: NewProduct, database: Database
) -> None:
    product = await new_product(stock=150)

    async def buy(customer: Customer) -> list[httpx2.Response]:
        return [await customer.order((product, 1), key=f"k{number}") for number in range(10)]

    answers = [answer for answers in await asyncio.gather(*map(buy, customers)) for answer in answers]
    assert Counter(answer.status_code for answer in answers) == {201: 150, 409: 50}
    for answer in answers:
        if answer.status_code == 409:
            # Nobody was refused while there was something to sell.
            assert answer.json()["details"] == [{"product_id": product, "requested": 1, "available": 0}]
    assert await stock_of(database, product) == 0
    assert await count(database, "orders") == await count(database, "idempotency_keys") == 150
    await check_invariants(database)


async def test_of_orders_that_name_products_in_any_order_none_ends_in_a_deadlock(
    customers: list[Customer], new_product: NewProduct, service: Service, database: Database
) -> None:
    products = [await new_product(stock=40) for _ in range(6)]

    async def trade(customer: Customer) -> list[int]:
        chance = random.Random(customer.account_id)  # noqa: S311 - a schedule, not a secret
        statuses = []
        for _ in range(8):
            chosen = chance.sample(products, chance.randint(1, 4))
            response = await customer.order(*((product, chance.randint(1, 3)) for product in chosen))
            statuses.append(response.status_code)
            if response.status_code == 201 and chance.random() < 0.4:
                action = chance.choice(["cancel", "cancel", "pay"])
                statuses.append((await customer.post(f"{response.headers['location']}/{action}")).status_code)
        return statuses

    statuses = Counter(status for each in await asyncio.gather(*map(trade, customers)) for status in each)
    assert set(statuses) <= {200, 201, 409}, statuses
    assert statuses[201] > 0
    # Not even one that the service repeated by itself: the order of the locks is fixed.
    assert not [event for event in service.events() if event["event"] == "transaction_repeated"]
    await check_invariants(database)


async def test_an_order_is_cancelled_once_however_many_ask(
    customers: list[Customer], new_product: NewProduct, database: Database
) -> None:
    product, other = await new_product(stock=5), await new_product(stock=5)
    location = (await customers[0].order((product, 5), (other, 1))).headers["location"]

    async def ask(customer: Customer, action: str) -> int:
        response = await customer.client.post(f"{location}/{action}", headers=customers[0].headers)
        return response.status_code

    asked = [ask(customer, ("cancel", "pay")[number % 2]) for number, customer in enumerate(customers)]
    assert Counter(await asyncio.gather(*asked)) == {200: 1, 409: CLIENTS - 1}
    (row,) = await database.fetch("SELECT status FROM shop.orders")
    assert await stock_of(database, product) == (5 if row["status"] == "cancelled" else 0)
    await check_invariants(database)
