"""The articles' mistakes about the cache and products, each as the service does it now.

S0 is the guide to Ubuntu, FastAPI and PostgreSQL, S1 the one on deployment and tuning. The item is the number
of the mistake in the inventory of the articles.
"""

import ast
import asyncio
import os
import pickle
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from conftest import SERVICE, Database, Serve, SignIn, eventually
from redis_server import RedisServer
from shop.core.cache import MISS, LockNotAcquired, RedisCache, RedisLock, cached, open_cache
from shop.core.database import open_resources
from shop.core.metrics import metrics
from shop.products import service as products
from shop.settings.cache import CacheSettings

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("patient")]

PRODUCTS = "/api/v1/products"
CATEGORIES = f"{PRODUCTS}/categories"
GREEN_TEA = f"{PRODUCTS}/019b76da-a800-7000-8000-000000000001"


def modules() -> dict[Path, ast.Module]:
    """Every module of the service."""
    return {
        path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted((SERVICE / "shop").rglob("*.py"))
    }


def imported() -> set[str]:
    """Every module that the service imports, with its dots."""
    names: set[str] = set()
    for tree in modules().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module)
    return names


async def test_nothing_is_searched_with_a_pattern_that_no_index_serves(
    client: httpx2.AsyncClient, database: Database
) -> None:
    """S0, item 45, note: `LIKE '%…'` reads the whole table. A category is an equality, with its index."""
    await database.execute(
        "INSERT INTO products (id, sku, name, category, price) "
        "SELECT gen_random_uuid(), 'N-' || n, 'n', 'c' || n % 100, 1 FROM generate_series(1, 5000) AS n",
        "ANALYZE products",
    )
    plan = await database.fetch(
        "EXPLAIN SELECT * FROM shop.products WHERE is_active AND category = 'c7' ORDER BY id DESC LIMIT 51"
    )
    assert "ix_products_category_id" in "\n".join(row[0] for row in plan)
    assert (await client.get(PRODUCTS, params={"category": "c%"})).json()["items"] == []


async def test_a_create_answers_with_all_that_the_database_made(
    client: httpx2.AsyncClient, database: Database, sign_in: SignIn
) -> None:
    """S0, item 60, kept: create flows return the object, the database's defaults included, and no more."""
    admin = (await sign_in(database, role="admin")).headers
    body = {"sku": "CUP-1", "name": "A cup", "category": "cups", "price": "12.5"}
    created = await client.post(PRODUCTS, json=body, headers=admin)
    assert created.status_code == 201, created.text
    assert created.json() == (await client.get(created.headers["location"])).json()
    (row,) = await database.fetch("SELECT * FROM shop.products WHERE sku = 'CUP-1'")
    assert set(created.json()) == set(row.keys())


def test_redis_is_reached_through_its_own_asyncio_client() -> None:
    """S1, item 65: aioredis ended in 2021, and `minsize`/`maxsize` with it."""
    names = imported()
    assert "redis.asyncio" in names
    assert not {name for name in names if name.split(".")[0] in ("aioredis", "aiocache")}


class Exploit:
    """Unpickling it makes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (self.path,)


async def test_what_redis_holds_is_data_and_never_runs(
    cache: RedisCache, bare: "Redis", tmp_path: Path
) -> None:
    """S1, item 66: `pickle.loads` runs what whoever can write to Redis has put there."""
    assert "pickle" not in imported()
    victim = tmp_path / "made"
    await cache.look_up("shelf", "key")
    await bare.set("shop:1:shelf:entry:key", pickle.dumps(Exploit(str(victim))))
    assert await cache.get("shelf", "key") is MISS
    assert not victim.exists()
    found = await cache.look_up("shelf", "key")
    await cache.set("shelf", "key", {"a": 1}, 60, token=found.token)
    assert orjson.loads(await bare.get("shop:1:shelf:entry:key"))["value"] == {"a": 1}


async def test_three_equal_requests_are_one_load_and_two_hits(
    database: Database, redis: RedisServer, serve: Serve
) -> None:
    """S1, item 66: the injected session was part of the key, so that nothing was ever found."""
    hits = metrics().cache_hits_total.labels("product_categories")._value
    before = hits.get()
    async with serve(database.settings(redis_url=redis.url)) as client:
        answers = [(await client.get(CATEGORIES)).content for _ in range(3)]
    assert len(set(answers)) == 1
    assert hits.get() - before == 2


async def test_one_command_forgets_exactly_what_was_kept(cache: RedisCache, bare: "Redis") -> None:
    """S1, item 66: `delete("product:1")` met no key that `cached` had made, and `KEYS` reads all of Redis."""
    loads = 0

    @cached(key_prefix="product", shape=int)
    async def product(*, number: int) -> int:
        nonlocal loads
        loads += 1
        return number

    for number in range(20):
        await product(cache, number=number)
    await bare.config_resetstat()
    await cache.clear("product")
    # Redis counts this question too, when it is answered.
    calls = {name: facts["calls"] for name, facts in (await bare.info("commandstats")).items()}
    assert set(calls) <= {"cmdstat_del", "cmdstat_config|resetstat", "cmdstat_info"}, calls
    assert calls["cmdstat_del"] == 1
    for number in range(20):
        await product(cache, number=number)
    assert loads == 40


async def test_nothing_found_is_found_only_once(cache: RedisCache) -> None:
    """S1, item 66: None was never kept, so what does not exist was looked for at every request."""
    loads = 0

    @cached(key_prefix="absent", shape=type(None))
    async def absent() -> None:
        nonlocal loads
        loads += 1

    for _ in range(5):
        await absent(cache)
    assert loads == 1


async def test_a_stampede_is_one_load(cache: RedisCache) -> None:
    """S1, item 66: when an entry ended, everybody loaded it at once."""
    loads = 0

    @cached(key_prefix="dear", shape=int)
    async def dear() -> int:
        nonlocal loads
        loads += 1
        await asyncio.sleep(0.3)
        return loads

    assert await asyncio.gather(*[dear(cache) for _ in range(200)]) == [1] * 200
    assert loads == 1


async def test_an_outage_is_counted_and_said_once(redis: RedisServer, cache_events: list[Any]) -> None:
    """S1, item 66: every error was printed, request by request, and counted by nobody."""
    errors = metrics().cache_errors_total.labels("redis")._value
    before = errors.get()
    redis.kill()
    async with open_cache(CacheSettings(redis_url=redis.url)) as cache:
        for _ in range(100):
            assert await cache.get("shelf", "key") is MISS
    assert errors.get() - before == 1
    assert [event["event"] for event in cache_events] == ["cache_state_changed"]
    for path, tree in modules().items():
        if "cache" in path.parts:
            assert "print" not in {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}, path


async def test_a_section_never_runs_without_its_lock(cache: RedisCache, other: RedisCache) -> None:
    """S1, item 67: `__aenter__` did not look at whether the lock was acquired."""
    ran = []
    async with RedisLock(cache, "work"):
        with pytest.raises(LockNotAcquired):
            async with RedisLock(other, "work"):
                ran.append("both")
    assert ran == []


async def test_tokens_of_locks_of_one_moment_differ(
    cache: RedisCache, bare: "Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    """S1, item 67: the token was the time, so that two holders of one moment could free each other's lock."""
    monkeypatch.setattr("time.time", lambda: 1.0)
    tokens = set()
    for number in range(10):
        assert await RedisLock(cache, str(number)).acquire()
        tokens.add(await bare.get(f"shop:1:lock:{number}"))
    assert len(tokens) == 10


def test_no_redis_decides_about_money_or_stock() -> None:
    """S1, item 67: only the cache's own refresh takes a RedisLock; orders and stock are the database's."""
    users = {
        path.relative_to(SERVICE / "shop").as_posix()
        for path, tree in modules().items()
        if any(isinstance(node, ast.Name) and node.id == "RedisLock" for node in ast.walk(tree))
    }
    assert users == {"core/cache/cached.py"}


async def test_a_redis_with_a_password_is_used_with_it_and_a_wrong_one_is_no_outage(
    database: Database, redis: RedisServer, serve: Serve
) -> None:
    """S1, item 68: Redis demanded a password that the address did not have: NOAUTH at the first request."""
    redis.kill()
    redis.start(requirepass="spoken quietly")
    for given, status in (("spoken quietly", "up"), ("something else", "down"), (None, "down")):
        settings = database.settings(redis_url=redis.url, redis_password=given)
        async with serve(settings) as client:
            assert (await client.get(CATEGORIES)).status_code == 200
            assert client._transport.app.state.container.get(RedisCache).state()["status"] == status  # type: ignore[attr-defined]
    assert "secret" not in repr(CacheSettings(redis_password="a secret word"))


async def test_the_service_is_whole_without_redis(client: httpx2.AsyncClient, database: Database) -> None:
    """S1, item 68: the cache is optional."""
    assert (await client.get(CATEGORIES)).status_code == 200
    assert (await client.get(GREEN_TEA)).status_code == 200
    assert client._transport.app.state.container.get(RedisCache).state()["status"] == "off"  # type: ignore[attr-defined]


async def test_hits_and_misses_are_counted_by_what_was_asked(cache: RedisCache) -> None:
    """S1, item 69, kept: `cache_hits_total` and `cache_misses_total`."""
    instruments = (metrics().cache_hits_total, metrics().cache_misses_total)
    before = [instrument.labels("counted")._value.get() for instrument in instruments]
    found = await cache.look_up("counted", "key")
    await cache.set("counted", "key", 1, 60, token=found.token)
    for _ in range(3):
        await cache.get("counted", "key")
    after = [instrument.labels("counted")._value.get() for instrument in instruments]
    assert [now - then for now, then in zip(after, before, strict=True)] == [3, 1]


async def test_only_what_everybody_may_see_may_be_kept_by_a_proxy(
    client: httpx2.AsyncClient, database: Database, sign_in: SignIn
) -> None:
    """S1, item 93, note: a proxy that keeps answers must be told which; an admin's are never for others."""
    admin = (await sign_in(database, role="admin")).headers
    for address in (PRODUCTS, CATEGORIES, GREEN_TEA):
        assert "public" in (await client.get(address)).headers["cache-control"]
    log = await client.get(f"{GREEN_TEA}/stock-log", headers=admin)
    changed = await client.patch(GREEN_TEA, json={"name": "Sencha"}, headers=admin)
    assert {log.headers["cache-control"], changed.headers["cache-control"]} == {"no-store"}
    missing = await client.get(f"{PRODUCTS}/019b76da-a800-7000-8000-00000000ffff")
    assert "public" not in missing.headers.get("cache-control", "")


async def test_the_categories_are_loaded_anew_before_they_end_by_one_of_all_workers(
    database: Database, cache: RedisCache, other: RedisCache, bare: "Redis"
) -> None:
    """S1, item 66: an entry ended under load. Its load is repeated before that, behind the answer."""
    async with open_resources(database.settings()) as resources:
        engine: AsyncEngine = resources.reads
        await products.list_categories(cache, engine)
        (name,) = await bare.keys("shop:1:product_categories:entry:*")
        fields = orjson.loads(await bare.get(name))
        # Such a dear load is due at once.
        await bare.set(name, orjson.dumps({**fields, "cost": 1e9}), px=60_000)
        await asyncio.gather(*[products.list_categories(worker, engine) for worker in (cache, other) * 20])
        await eventually(lambda: not cache._background and not other._background)
        assert orjson.loads(await bare.get(name))["cost"] < 1e9
