"""Fixtures: customers with an account each, products with a stock, and what must hold of the stock log."""

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx2
import pytest

from conftest import Database, Serve, SignIn

ACCOUNTS = "/api/v1/accounts"

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Customer:
    """A user with one account, and the ways to order on it."""

    client: httpx2.AsyncClient
    user_id: str
    headers: dict[str, str]
    account_id: str

    @property
    def orders(self) -> str:
        """The address of the account's orders."""
        return f"{ACCOUNTS}/{self.account_id}/orders"

    async def order(
        self, *lines: tuple[str, int], key: str | None = None, path: str | None = None
    ) -> httpx2.Response:
        """Order these (product, quantity)."""
        headers = self.headers | ({"Idempotency-Key": key} if key is not None else {})
        items = [{"product_id": product, "quantity": quantity} for product, quantity in lines]
        return await self.client.post(path or self.orders, json={"items": items}, headers=headers)

    async def get(self, path: str, **parameters: Any) -> httpx2.Response:
        return await self.client.get(path, headers=self.headers, params=parameters or None)

    async def post(self, path: str) -> httpx2.Response:
        return await self.client.post(path, headers=self.headers)

    async def patch(
        self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None
    ) -> httpx2.Response:
        return await self.client.patch(path, json=body, headers=self.headers | (headers or {}))


NewCustomer = Callable[..., Awaitable[Customer]]


@pytest.fixture
async def client(database: Database, serve: Serve) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the application on this test's database, with room for some requests at once."""
    async with serve(database.settings(database_pool_size=5, database_max_overflow=5)) as client:
        yield client


@pytest.fixture
async def new_customer(client: httpx2.AsyncClient, database: Database, sign_in: SignIn) -> NewCustomer:
    """Makes a user with one account; `on` is the client they use."""

    async def create(on: httpx2.AsyncClient = client) -> Customer:
        user = await sign_in(database)
        response = await on.post(ACCOUNTS, json={"name": "Mine"}, headers=user.headers)
        assert response.status_code == 201, response.text
        return Customer(on, str(user.user_id), user.headers, response.json()["id"])

    return create


@pytest.fixture
async def customer(new_customer: NewCustomer) -> Customer:
    """The customer of a test that needs one."""
    return await new_customer()


@pytest.fixture
def new_product(database: Database) -> Callable[..., Awaitable[str]]:
    """Makes a product with `stock` pieces and the stock log's entry for them; returns its id."""

    async def create(stock: int = 10, price: str = "2.50", is_active: bool = True) -> str:
        number = next(_numbers)
        product_id = str(uuid.UUID(int=0x019B76DAD0007000_8000000000000000 + number))
        await database.execute(
            "INSERT INTO products (id, sku, name, category, price, stock, is_active) VALUES "
            f"('{product_id}', 'S-{number}', 'Thing', 'things', {price}, {stock}, {is_active})",
            "INSERT INTO stock_log (product_id, change_amount, balance_after, reason) "
            f"SELECT '{product_id}', {stock}, {stock}, 'restock' WHERE {stock} > 0",
        )
        return product_id

    return create


NewProduct = Callable[..., Awaitable[str]]


@pytest.fixture
async def blocker(database: Database) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """A superuser's connection whose locks are in the way of the service's."""
    connection = await database.cluster.connect(database.name)
    try:
        await connection.execute("SET search_path = shop")
        yield connection
    finally:
        await connection.close()


async def wait_for_waiting(database: Database, sessions: int = 1) -> None:
    """Return when this many sessions of the service wait for a lock."""
    query = (
        "SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
        f"AND application_name LIKE 'shop/%' AND datname = '{database.name}'"
    )
    deadline = time.monotonic() + 10
    while (await database.fetch(query))[0]["n"] < sessions:
        assert time.monotonic() < deadline, f"there are not {sessions} sessions that wait for a lock"
        await asyncio.sleep(0.01)


async def stock_of(database: Database, product_id: str) -> int:
    """The pieces in stock."""
    (row,) = await database.fetch(f"SELECT stock FROM shop.products WHERE id = '{product_id}'")
    return int(row["stock"])


async def count(database: Database, table: str, condition: str = "true") -> int:
    """The rows of a table."""
    (row,) = await database.fetch(f"SELECT count(*) AS n FROM shop.{table} WHERE {condition}")
    return int(row["n"])


# Each query finds what must not be: products by their log, orders by their items.
BROKEN = {
    "stock differs from the sum of its changes": """
        SELECT p.id FROM shop.products p JOIN shop.stock_log l ON l.product_id = p.id
        GROUP BY p.id HAVING p.stock <> sum(l.change_amount)""",
    "a balance does not follow from the one before": """
        SELECT id FROM (SELECT id, balance_after, change_amount, reason,
            lag(balance_after, 1, 0) OVER (PARTITION BY product_id ORDER BY id) AS before
            FROM shop.stock_log) AS chain WHERE balance_after <> before + change_amount""",
    "an item has not exactly one entry of its order": """
        SELECT i.order_id FROM shop.order_items i LEFT JOIN shop.stock_log l
            ON l.order_id = i.order_id AND l.product_id = i.product_id AND l.reason = 'order'
        GROUP BY i.order_id, i.product_id, i.quantity
        HAVING count(l.id) <> 1 OR sum(l.change_amount) <> -i.quantity""",
    "an entry has no item": """
        SELECT l.id FROM shop.stock_log l LEFT JOIN shop.order_items i
            ON i.order_id = l.order_id AND i.product_id = l.product_id
        WHERE l.order_id IS NOT NULL AND i.order_id IS NULL""",
    "what came back is not what was cancelled": """
        SELECT o.id FROM shop.orders o JOIN shop.stock_log l ON l.order_id = o.id
        GROUP BY o.id, o.status HAVING (sum(l.change_amount) = 0) <> (o.status = 'cancelled')""",
    "a total is not the sum of its items": """
        SELECT o.id FROM shop.orders o LEFT JOIN shop.order_items i ON i.order_id = o.id
        GROUP BY o.id HAVING o.total IS DISTINCT FROM sum(i.quantity * i.unit_price)""",
    "a key has no order, or an order no key of its own": """
        SELECT k.key FROM shop.idempotency_keys k FULL JOIN shop.orders o
            ON o.account_id = k.account_id AND o.idempotency_key = k.key
        WHERE o.id IS NULL OR (k.key IS NULL AND o.idempotency_key IS NOT NULL)
            OR k.body ->> 'id' <> o.id::text""",
}


async def check_invariants(database: Database) -> None:
    """Nothing is lost, nothing happened twice, whatever the order of events was."""
    for sentence, query in BROKEN.items():
        rows = await database.fetch(query)
        assert rows == [], f"{sentence}: {rows}"
