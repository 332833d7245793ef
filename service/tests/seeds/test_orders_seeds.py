"""What the articles get wrong about orders: the wrong form fails as said, the service does not."""

# Fixtures are parameters of the same name.
# ruff: noqa: F811

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import asyncpg
import httpx2
import pytest
from fastapi import Depends, FastAPI
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from conftest import Database, Serve
from orders.conftest import (  # noqa: F401
    ACCOUNTS,
    Customer,
    NewCustomer,
    NewProduct,
    blocker,
    check_invariants,
    client,
    count,
    customer,
    new_customer,
    new_product,
    stock_of,
    wait_for_waiting,
)
from problems import assert_problem
from shop.core.database import Resources, open_resources
from shop.main import create_app

pytestmark = pytest.mark.anyio


@pytest.fixture
async def resources(database: Database) -> AsyncIterator[Resources]:
    """Connections as the service has them, for the articles' code."""
    async with open_resources(database.settings(database_pool_size=5)) as resources:
        yield resources


async def test_18_serializable_refuses_what_read_committed_sells(
    customer: Customer, new_product: NewProduct, resources: Resources, database: Database
) -> None:
    """First article: SERIALIZABLE "guarantees ACID". On one hot row it fails all but one of those at once."""
    product = await new_product(stock=10)
    serializable = resources.reads.execution_options(isolation_level="SERIALIZABLE")
    take = text("UPDATE products SET stock = stock - 1 WHERE id = CAST(:id AS uuid)")
    async with serializable.connect() as first, serializable.connect() as second:
        for connection in (first, second):
            await connection.execute(text("SELECT stock FROM products"))
        await first.execute(take, {"id": product})
        waiting = asyncio.create_task(second.execute(take, {"id": product}))
        await wait_for_waiting(database)
        await first.commit()
        with pytest.raises(Exception, match="could not serialize"):
            await waiting
    answers = await asyncio.gather(*(customer.order((product, 1)) for _ in range(9)))
    assert Counter(answer.status_code for answer in answers) == {201: 9}


async def test_28_a_commit_after_the_answer_promises_what_may_not_come(
    customer: Customer, new_product: NewProduct, resources: Resources, database: Database
) -> None:
    """Second and third article: a dependency that commits after its `yield`, which runs after the answer."""
    await database.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END'",
        "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    wrong = FastAPI()

    async def get_db() -> AsyncIterator[AsyncConnection]:
        async with resources.writes.connect() as connection:
            yield connection
            await connection.commit()

    @wrong.post("/orders", status_code=201)
    async def order(db: AsyncConnection = Depends(get_db)) -> str:  # noqa: B008 - the article's form
        await db.execute(
            text(
                "INSERT INTO orders (id, account_id, created_by, total, currency) SELECT gen_random_uuid(), "
                "id, owner_id, 1, currency FROM accounts"
            )
        )
        return "ordered"

    transport = httpx2.ASGITransport(app=wrong, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://shop.test") as client:
        assert (await client.post("/orders")).status_code == 201
    assert await count(database, "orders") == 0, "the article's customer was told 201, and has no order"
    for lines in (1, 2):
        response = await customer.order(*[(await new_product(), 1) for _ in range(lines)])
        assert_problem(response, 500, "internal_error")
        assert "location" not in response.headers


async def test_33_a_refused_write_shows_nothing_of_the_inside(
    customer: Customer, new_product: NewProduct, resources: Resources, database: Database
) -> None:
    """First article: every IntegrityError is a 400 with str(e), which is the statement and the table."""
    product = await new_product()
    await database.execute("ALTER TABLE orders ADD CONSTRAINT ck_nobody_knows CHECK (total < 0)")
    with pytest.raises(IntegrityError) as caught:
        async with resources.writes.begin() as connection:
            await connection.execute(
                text(
                    "INSERT INTO orders (id, account_id, created_by, total, currency) "
                    "SELECT gen_random_uuid(), id, owner_id, 1, currency FROM accounts"
                )
            )
    assert "INSERT INTO orders" in str(caught.value), "the article's answer would not show its statement"
    response = await customer.order((product, 1))
    assert_problem(response, 500, "internal_error")
    for inside in ("INSERT", "orders_", "ck_nobody_knows", "sqlalchemy", "asyncpg"):
        assert inside not in response.text


async def test_34_skip_locked_refuses_what_could_be_sold(
    customer: Customer,
    new_product: NewProduct,
    database: Database,
    blocker: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    """First article: FOR UPDATE SKIP LOCKED against overselling. Who comes second finds nothing."""
    product = await new_product(stock=2)
    async with blocker.transaction():
        await blocker.execute("UPDATE products SET stock = stock - 1 WHERE id = $1", product)
        seen = await database.fetch(
            f"SELECT stock FROM shop.products WHERE id = '{product}' FOR UPDATE SKIP LOCKED"
        )
        assert seen == [], "the article's query sees the product after all"
        waiting = asyncio.create_task(customer.order((product, 1)))
        await wait_for_waiting(database)
    assert (await waiting).status_code == 201
    assert await stock_of(database, product) == 0


async def test_34_for_update_blocks_the_foreign_keys_of_others(
    customer: Customer,
    new_product: NewProduct,
    resources: Resources,
    blocker: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    """First article: FOR UPDATE on products. Rows that only refer to the product wait, too."""
    product = await new_product()
    location = (await customer.order((product, 1))).headers["location"]
    refer = text(
        "INSERT INTO stock_log (product_id, change_amount, balance_after, reason) "
        "VALUES (CAST(:id AS uuid), 1, 1, 'adjust')"
    )
    for strength, refused in (("FOR UPDATE", True), ("FOR NO KEY UPDATE", False)):
        async with blocker.transaction(), resources.writes.connect() as connection:
            await blocker.execute(f"SELECT FROM products WHERE id = $1 {strength}", product)
            await connection.execute(text("SET LOCAL lock_timeout = '100ms'"))
            if refused:
                with pytest.raises(Exception, match="lock timeout"):
                    await connection.execute(refer, {"id": product})
            else:
                await connection.execute(refer, {"id": product})
            await connection.rollback()
    assert (await customer.get(location)).status_code == 200


async def test_35_the_stock_log_belongs_to_its_order(
    customer: Customer, new_product: NewProduct, database: Database
) -> None:
    """First article: the log's entry names its order; here neither is without the other."""
    product = await new_product(stock=5)
    order = (await customer.order((product, 2))).json()
    rows = await database.fetch(
        "SELECT order_id::text, change_amount, balance_after, reason, actor_id::text FROM shop.stock_log "
        "WHERE order_id IS NOT NULL"
    )
    assert [tuple(row) for row in rows] == [(order["id"], -2, 3, "order", customer.user_id)]


async def test_36_too_little_stock_is_a_conflict_not_a_bad_request(
    customer: Customer, new_product: NewProduct
) -> None:
    """First article: 400. The request is well formed and conflicts with the state: 409 (RFC 9110)."""
    assert_problem(await customer.order((await new_product(stock=1), 2)), 409, "insufficient_stock")


async def test_47_a_page_by_key_repeats_nothing_when_something_new_arrives(
    customer: Customer, new_product: NewProduct, database: Database
) -> None:
    """Second article: page and page_size. OFFSET shifts with every new row; last_id does not."""
    product = await new_product(stock=100)
    for _ in range(4):
        await customer.order((product, 1))
    page = "SELECT id FROM shop.orders ORDER BY id DESC OFFSET {} LIMIT 2"
    first_by_offset = await database.fetch(page.format(0))
    first = (await customer.get(customer.orders, limit=2)).json()
    await customer.order((product, 1))
    second_by_offset = await database.fetch(page.format(2))
    second = (await customer.get(first["next"])).json()
    assert set(first_by_offset) & set(second_by_offset), "the article's second page repeats nothing after all"
    assert not {item["id"] for item in first["items"]} & {item["id"] for item in second["items"]}


async def test_47_everything_under_an_account_is_behind_its_members(
    customer: Customer, new_customer: NewCustomer, new_product: NewProduct, database: Database
) -> None:
    """Fourth article: a parent router that loads the account. All under it is closed to strangers."""
    order = (await customer.order((await new_product(), 1))).json()
    stranger = await new_customer()
    document = create_app(database.settings()).openapi()
    asked = 0
    for path, item in document["paths"].items():
        if not path.startswith(f"{ACCOUNTS}/{{account_id}}"):
            continue
        address = path.format(account_id=customer.account_id, order_id=order["id"])
        for method in item:
            body = {"items": [{"product_id": order["items"][0]["product_id"], "quantity": 1}]}
            if method == "patch":
                body = {"name": "Mine"}
            response = await stranger.client.request(
                method,
                address,
                headers=stranger.headers,
                json=body if "requestBody" in item[method] else None,
            )
            assert_problem(response, 404, "account_not_found")
            asked += 1
    assert asked >= 7


async def test_67_the_lock_of_a_stock_is_the_databases(
    database: Database, serve: Serve, new_customer: NewCustomer, new_product: NewProduct
) -> None:
    """Second article: a Redis lock around the stock. Here no Redis answers, and not a piece is sold twice."""
    product = await new_product(stock=5)
    settings = database.settings(
        redis_url="unix:///nonexistent/redis.sock", database_pool_size=5, database_max_overflow=5
    )
    async with serve(settings) as client:
        customer = await new_customer(client)
        answers = await asyncio.gather(*(customer.order((product, 1)) for _ in range(10)))
    assert Counter(answer.status_code for answer in answers) == {201: 5, 409: 5}
    assert await stock_of(database, product) == 0
    await check_invariants(database)
