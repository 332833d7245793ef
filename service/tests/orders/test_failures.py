"""Orders when something fails: locks of others, the commit, the process, the client."""

import asyncio
import random
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from conftest import Database
from orders.conftest import (
    ACCOUNTS,
    Customer,
    NewCustomer,
    NewProduct,
    check_invariants,
    count,
    stock_of,
    wait_for_waiting,
)
from problems import assert_problem
from running import Service
from shop.core.database import Resources

pytestmark = pytest.mark.anyio

Blocker = "asyncpg.Connection[asyncpg.Record]"
ONE_OR_TWO = pytest.mark.parametrize("several", [False, True], ids=["one product", "two products"])


async def _lines(new_product: NewProduct, several: bool, stock: int = 10) -> list[tuple[str, int]]:
    return [(await new_product(stock=stock), 1) for _ in range(2 if several else 1)]


@ONE_OR_TWO
async def test_who_waits_too_long_for_a_product_is_told_to_come_again(
    customer: Customer, new_product: NewProduct, database: Database, blocker: Blocker, several: bool
) -> None:
    lines = await _lines(new_product, several)
    async with blocker.transaction():
        await blocker.execute("SELECT FROM products WHERE id = $1 FOR NO KEY UPDATE", lines[-1][0])
        start = time.monotonic()
        response = await customer.order(*lines, key="k")
        assert 2.5 < time.monotonic() - start < 30
    problem = assert_problem(response, 503, "lock_timeout")
    assert int(response.headers["retry-after"]) >= 1
    assert "products" not in problem.message
    assert await count(database, "orders") == await count(database, "idempotency_keys") == 0
    assert (await customer.order(*lines, key="k")).status_code == 201
    await check_invariants(database)


@ONE_OR_TWO
async def test_a_commit_that_fails_is_no_order(
    customer: Customer, new_product: NewProduct, database: Database, several: bool
) -> None:
    lines = await _lines(new_product, several)
    await database.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RAISE EXCEPTION ''not today, said table orders''; END'",
        "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    response = await customer.order(*lines, key="k")
    assert_problem(response, 500, "internal_error")
    assert "location" not in response.headers
    assert "not today" not in response.text
    assert await count(database, "orders") == await count(database, "idempotency_keys") == 0
    assert await stock_of(database, lines[0][0]) == 10
    await database.execute("DROP TRIGGER at_commit ON orders")
    assert (await customer.order(*lines, key="k")).status_code == 201


async def test_a_refusal_tells_what_is_left_after_the_wait(
    customer: Customer, new_product: NewProduct, blocker: Blocker, database: Database
) -> None:
    product = await new_product(stock=3)
    async with blocker.transaction():
        await blocker.execute("UPDATE products SET stock = 1 WHERE id = $1", product)
        waiting = asyncio.create_task(customer.order((product, 2)))
        await wait_for_waiting(database)
    problem = assert_problem(await waiting, 409, "insufficient_stock")
    assert problem.details == [{"product_id": product, "requested": 2, "available": 1}]


async def test_who_waits_gets_what_is_still_there_after_the_wait(
    customer: Customer, new_product: NewProduct, blocker: Blocker, database: Database
) -> None:
    product = await new_product(stock=3)
    async with blocker.transaction():
        await blocker.execute("UPDATE products SET stock = 2, price = 9.99 WHERE id = $1", product)
        waiting = asyncio.create_task(customer.order((product, 2)))
        await wait_for_waiting(database)
    response = await waiting
    assert response.status_code == 201, response.text
    # The price is that of the moment the pieces were taken, too.
    assert response.json()["total"] == "19.98"
    assert await stock_of(database, product) == 0


@ONE_OR_TWO
async def test_an_account_is_suspended_after_the_orders_on_the_way(
    customer: Customer, new_product: NewProduct, blocker: Blocker, database: Database, several: bool
) -> None:
    lines = await _lines(new_product, several)
    async with blocker.transaction():
        await blocker.execute("SELECT FROM products WHERE id = $1 FOR NO KEY UPDATE", lines[0][0])
        order = asyncio.create_task(customer.order(*lines))
        await wait_for_waiting(database)
        change = {"status": "suspended"}
        suspend = asyncio.create_task(customer.patch(f"{ACCOUNTS}/{customer.account_id}", change))
        await wait_for_waiting(database, sessions=2)
        assert not suspend.done()
    assert (await order).status_code == 201
    assert (await suspend).status_code == 200
    assert_problem(await customer.order(*lines), 409, "account_suspended")


@ONE_OR_TWO
async def test_a_request_that_is_cancelled_leaves_all_or_nothing_and_no_connection(
    customer: Customer, new_product: NewProduct, database: Database, several: bool
) -> None:
    lines = await _lines(new_product, several, stock=1000)
    chance = random.Random(7)  # noqa: S311 - a schedule, not a secret
    for number in range(60):
        request = asyncio.create_task(customer.order(*lines, key=f"k{number}"))
        await asyncio.sleep(chance.uniform(0, 0.02))
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
    transport: httpx2.ASGITransport = customer.client._transport
    pool = transport.app.state.container.get(Resources).reads.pool
    deadline = time.monotonic() + 10
    while pool.checkedout():
        assert time.monotonic() < deadline, pool.status()
        await asyncio.sleep(0.01)
    assert (await customer.order(*lines)).status_code == 201
    await check_invariants(database)


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Iterator[Service]:
    """The service as one process, which a test may kill."""
    environ = database.environ(
        tmp_path / "credentials",
        SHOP_WORKERS="1",
        SHOP_DATABASE_POOL_SIZE="5",
        SHOP_DATABASE_MAX_OVERFLOW="0",
        SHOP_DATABASE_POOL_TIMEOUT="30",
    )
    service = Service(tmp_path, environ)
    try:
        service.wait_until_ready()
        yield service
    finally:
        service.stop()


def _client(service: Service) -> httpx2.AsyncClient:
    transport = httpx2.AsyncHTTPTransport(uds=str(service.socket))
    return httpx2.AsyncClient(transport=transport, base_url="http://shop.test", timeout=60)


async def _sessions(database: Database, condition: str = "true") -> int:
    rows = await database.fetch(
        "SELECT FROM pg_stat_activity WHERE application_name LIKE 'shop/%' AND usename = 'shop' "
        f"AND datname = '{database.name}' AND {condition}"
    )
    return len(rows)


BLOCKED = {
    "while it locks the products": ["SELECT FROM products ORDER BY id DESC LIMIT 1 FOR NO KEY UPDATE"],
    "while it writes the order": ["LOCK TABLE orders IN SHARE ROW EXCLUSIVE MODE"],
    "while it writes the stock log": ["LOCK TABLE stock_log IN SHARE ROW EXCLUSIVE MODE"],
    "while it commits": ["SELECT pg_advisory_xact_lock(7)"],
}


@ONE_OR_TWO
@pytest.mark.parametrize("blocked", BLOCKED)
async def test_a_process_killed_in_the_middle_leaves_no_half_order(
    service: Service,
    client: httpx2.AsyncClient,
    new_customer: NewCustomer,
    new_product: NewProduct,
    database: Database,
    blocker: Blocker,
    blocked: str,
    several: bool,
) -> None:
    lines = await _lines(new_product, several)
    await database.execute(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NEW; END'",
        "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION wait()",
    )
    async with _client(service) as doomed:
        customer = await new_customer(doomed)
        async with blocker.transaction():
            for statement in BLOCKED[blocked]:
                await blocker.execute(statement)
            request = asyncio.create_task(customer.order(*lines, key="k"))
            await wait_for_waiting(database)
            service.process.kill()
            service.process.wait()
            with pytest.raises(httpx2.TransportError):
                await request
    deadline = time.monotonic() + 15
    while await _sessions(database, "state <> 'idle'"):
        assert time.monotonic() < deadline, "a session of the killed process is still at work"
        await asyncio.sleep(0.05)
    await check_invariants(database)
    placed = await count(database, "orders")
    assert [await stock_of(database, product) for product, _ in lines] == [10 - placed] * len(lines)
    # Whatever became of it: with its key the request comes again, and there is one order.
    again = await replace(customer, client=client).order(*lines, key="k")
    assert again.status_code == 201, again.text
    assert ("idempotency-replayed" in again.headers) == bool(placed)
    assert await count(database, "orders") == 1
    await check_invariants(database)


async def test_clients_that_hang_up_leave_all_or_nothing_and_no_connection(
    service: Service, new_customer: NewCustomer, new_product: NewProduct, database: Database
) -> None:
    product, other = await new_product(stock=1000), await new_product(stock=1000)
    chance = random.Random(11)  # noqa: S311 - a schedule, not a secret
    async with _client(service) as client:
        customer = await new_customer(client)
        authorization = customer.headers["Authorization"]
        for number in range(200):
            lines = [f'{{"product_id":"{product}","quantity":1}}', f'{{"product_id":"{other}","quantity":1}}']
            body = f'{{"items":[{",".join(lines[: 1 + number % 2])}]}}'
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(service.socket))
                connection.sendall(
                    f"POST {customer.orders} HTTP/1.1\r\nHost: shop.test\r\n"
                    f"Authorization: {authorization}\r\n"
                    f"Idempotency-Key: k{number}\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
                )
                await asyncio.sleep(chance.uniform(0, 0.02))
        response = await customer.order((product, 1), key="last")
        assert response.status_code == 201, response.text
        deadline = time.monotonic() + 15
        while await _sessions(database, "state <> 'idle'"):
            assert time.monotonic() < deadline, "a session is still at work for a client that has gone"
            await asyncio.sleep(0.05)
        # Every connection is free again, and there are no more of them.
        answers = await asyncio.gather(*(customer.order((other, 1)) for _ in range(10)))
        assert [answer.status_code for answer in answers] == [201] * 10
        # Five of the process, and one of the application that the fixtures ask.
        assert await _sessions(database) <= 5 + 1
    failed = [event for event in service.events() if event["level"] == "error"]
    assert not failed, failed[0]
    await check_invariants(database)
