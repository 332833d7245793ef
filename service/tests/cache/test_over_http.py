"""What a client sees of the cache: nothing but speed."""

from typing import Any

import httpx2
import pytest

from conftest import Database, Serve, SignIn
from redis_server import RedisServer
from shop.core.cache import RedisCache

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("patient")]

PRODUCTS = "/api/v1/products"
CATEGORIES = f"{PRODUCTS}/categories"
GREEN_TEA = f"{PRODUCTS}/019b76da-a800-7000-8000-000000000001"

Tea = dict[str, Any]


async def tea(client: httpx2.AsyncClient) -> Tea:
    """The category tea as it is listed."""
    response = await client.get(CATEGORIES)
    assert response.status_code == 200, response.text
    (found,) = [item for item in response.json()["items"] if item["name"] == "tea"]
    return dict(found)


def cache_in(client: httpx2.AsyncClient) -> RedisCache:
    """The cache of the application behind `client`."""
    transport = client._transport
    assert isinstance(transport, httpx2.ASGITransport)
    cache: RedisCache = transport.app.state.container.get(RedisCache)  # type: ignore[attr-defined]
    return cache


async def test_categories_come_from_the_cache_until_one_of_their_numbers_changes(
    database: Database, redis: RedisServer, serve: Serve, sign_in: SignIn
) -> None:
    admin = (await sign_in(database, role="admin")).headers
    settings = database.settings(redis_url=redis.url)
    async with serve(settings) as client, serve(settings) as elsewhere:
        assert await tea(client) == await tea(elsewhere) == {"name": "tea", "products": 3, "in_stock": 3}
        assert cache_in(elsewhere).counters.hits == 1

        async def stock(change_amount: int) -> None:
            body = {"change_amount": change_amount, "reason": "adjust"}
            response = await client.post(f"{GREEN_TEA}/stock", json=body, headers=admin)
            assert response.status_code == 200, response.text

        await stock(-119)
        await tea(elsewhere)
        assert cache_in(elsewhere).counters.hits == 2, "one piece is left, so nothing that is listed changed"
        await stock(-1)
        assert (await tea(elsewhere))["in_stock"] == 2
        await stock(5)
        assert (await tea(elsewhere))["in_stock"] == 3
        off = await client.patch(GREEN_TEA, json={"is_active": False}, headers=admin)
        assert off.status_code == 200, off.text
        assert (await tea(elsewhere))["products"] == 2


async def test_an_admin_can_have_it_read_again(
    database: Database, redis: RedisServer, serve: Serve, sign_in: SignIn
) -> None:
    admin = (await sign_in(database, role="admin")).headers
    async with serve(database.settings(redis_url=redis.url)) as client:
        await tea(client)
        # Behind the service's back, as only an operator can.
        await database.execute("UPDATE products SET is_active = false WHERE sku = 'TEA-GREEN-100'")
        assert (await tea(client))["products"] == 3
        cleared = await client.post(f"{GREEN_TEA}/clear-cache", headers=admin)
        assert (cleared.status_code, cleared.content) == (204, b"")
        assert (await tea(client))["products"] == 2


async def test_a_shop_whose_redis_dies_sells_on(
    database: Database, redis: RedisServer, serve: Serve, sign_in: SignIn
) -> None:
    admin = (await sign_in(database, role="admin")).headers
    async with serve(database.settings(redis_url=redis.url)) as client:
        await tea(client)
        redis.kill()
        body = {"change_amount": -120, "reason": "adjust"}
        assert (await client.post(f"{GREEN_TEA}/stock", json=body, headers=admin)).status_code == 200
        assert (await tea(client))["in_stock"] == 2
        assert (await client.get(GREEN_TEA)).json()["stock"] == 0
        assert (await client.post(f"{GREEN_TEA}/clear-cache", headers=admin)).status_code == 204
        assert (await client.get("/health/ready")).status_code == 200
        assert cache_in(client).state()["status"] == "down"


async def test_a_change_that_is_refused_leaves_the_cache_alone(
    database: Database, redis: RedisServer, serve: Serve, sign_in: SignIn
) -> None:
    admin = (await sign_in(database, role="admin")).headers
    async with serve(database.settings(redis_url=redis.url)) as client:
        await tea(client)
        body = {"change_amount": -121, "reason": "adjust"}
        assert (await client.post(f"{GREEN_TEA}/stock", json=body, headers=admin)).status_code == 409
        await tea(client)
        assert cache_in(client).counters.hits == 1
