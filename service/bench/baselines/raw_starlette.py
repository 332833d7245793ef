"""The least that answers the same requests: Starlette, asyncpg's pool, orjson. No ids, no log, no metrics.

At its best: the pool's reset after each use, a round trip, is off: these statements leave nothing behind.
"""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import asyncpg
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PATH = "/api/v1/products"
COLUMNS = "id, sku, name, category, price, stock, is_active, version, created_at, updated_at"
BY_ID = f"SELECT {COLUMNS} FROM products WHERE id = $1 AND is_active"
PAGE = f"SELECT {COLUMNS} FROM products WHERE is_active AND id < $1 ORDER BY id DESC LIMIT $2"
LARGEST_ID = uuid.UUID(int=2**128 - 1)
# One statement, all or nothing: the stock goes down, the order, its item and the stock's log are written.
ORDER = """
WITH taken AS (
    UPDATE products SET stock = stock - $2, version = version + 1, updated_at = now()
    WHERE id = $1 AND is_active AND stock >= $2 RETURNING id, price, stock
), placed AS (
    INSERT INTO orders (id, account_id, created_by, total, currency)
    SELECT $3, $4, $5, price * $2, 'EUR' FROM taken RETURNING id, status, total, created_at
), item AS (
    INSERT INTO order_items (order_id, product_id, quantity, unit_price)
    SELECT $3, id, $2, price FROM taken
), logged AS (
    INSERT INTO stock_log (product_id, order_id, change_amount, balance_after, reason, actor_id)
    SELECT id, $3, -$2, stock, 'order', $5 FROM taken
)
SELECT placed.* FROM placed
"""


def _json(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    # asyncpg's UUID is a subclass of the standard one, and prices are Decimal: both are written as text.
    body = orjson.dumps(value, default=str, option=orjson.OPT_UTC_Z)
    return Response(body, status, headers, media_type="application/json")


async def live(request: Request) -> Response:
    """Answer without the database."""
    return _json({"status": "live"})


async def get_product(request: Request) -> Response:
    """One product."""
    async with request.app.state.pool.acquire() as connection:
        row = await connection.fetchrow(BY_ID, uuid.UUID(request.path_params["product_id"]))
    return _json(dict(row)) if row else _json(None, 404)


async def list_products(request: Request) -> Response:
    """A page of products, newest first."""
    query = request.query_params
    limit = int(query.get("limit", 50))
    last_id = uuid.UUID(query["last_id"]) if "last_id" in query else LARGEST_ID
    async with request.app.state.pool.acquire() as connection:
        rows = await connection.fetch(PAGE, last_id, limit + 1)
    items = [dict(row) for row in rows[:limit]]
    following = None
    headers = {}
    if len(rows) > limit:
        following = f"{PATH}?{urlencode({'last_id': str(items[-1]['id']), 'limit': limit})}"
        headers["Link"] = f'<{following}>; rel="next"'
    return _json({"items": items, "next": following}, headers=headers)


async def create_order(request: Request) -> Response:
    """One order of one product."""
    account_id = uuid.UUID(request.path_params["account_id"])
    wanted = orjson.loads(await request.body())["items"][0]
    created_by = request.app.state.created_by
    async with request.app.state.pool.acquire() as connection:
        row = await connection.fetchrow(
            ORDER, uuid.UUID(wanted["product_id"]), wanted["quantity"], uuid.uuid4(), account_id, created_by
        )
    return _json(dict(row), 201) if row else _json(None, 409)


def application() -> Starlette:
    """The factory uvicorn is given; the database comes from the environment, as the service's does."""

    async def keep(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Leave the session as it is."""

    size = int(os.environ.get("SHOP_DATABASE_POOL_SIZE", "10"))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with asyncpg.create_pool(
            host=os.environ["SHOP_DATABASE_HOST"],
            port=int(os.environ["SHOP_DATABASE_PORT"]),
            user="shop",
            password=os.environ["BENCH_PASSWORD"],
            database=os.environ["SHOP_DATABASE_NAME"],
            min_size=size,
            max_size=size,
            reset=keep,
            server_settings={
                "application_name": os.environ["PGAPPNAME"],
                "search_path": "shop",
                "timezone": "UTC",
                "jit": "off",
            },
        ) as pool:
            app.state.pool = pool
            app.state.created_by = uuid.UUID(os.environ["BENCH_USER_ID"])
            yield

    return Starlette(
        lifespan=lifespan,
        routes=[
            Route("/health/live", live),
            Route(PATH, list_products),
            Route(PATH + "/{product_id}", get_product),
            Route("/api/v1/accounts/{account_id}/orders", create_order, methods=["POST"]),
        ],
    )
