"""RedisCache: what is stored comes back, and what was forgotten never does."""

import asyncio
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from shop.core.cache import MISS, RedisCache, open_cache
from shop.core.cache.store import Found
from shop.settings.cache import CacheSettings

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("patient")]

ENTRY = "shop:1:shelf:entry:key"
TOKEN = "shop:1:shelf:token"


async def put(cache: RedisCache, value: Any, key: str = "key") -> Found:
    found = await cache.look_up("shelf", key)
    await cache.set("shelf", key, value, 60, token=found.token)
    return found


@pytest.mark.parametrize("value", [None, 0, "", [], {"price": "1.50"}, "é\u2028🍵", [1, [2, None]], False])
async def test_every_json_value_comes_back_none_included(cache: RedisCache, value: Any) -> None:
    assert await cache.get("shelf", "key") is MISS
    await put(cache, value)
    assert await cache.get("shelf", "key") == value
    assert (cache.counters.hits, cache.counters.errors) == (1, 0)


async def test_what_json_cannot_say_is_a_fault_of_the_program(cache: RedisCache) -> None:
    with pytest.raises(TypeError):
        await cache.set("shelf", "key", object(), 60, token="t")


async def test_a_deleted_entry_is_gone_and_the_others_stay(cache: RedisCache) -> None:
    await put(cache, 1)
    await put(cache, 2, "another")
    await cache.delete("shelf", "key")
    assert await cache.get("shelf", "key") is MISS
    assert await cache.get("shelf", "another") == 2


async def test_clearing_forgets_a_namespace_for_every_worker_and_no_other(
    cache: RedisCache, other: RedisCache
) -> None:
    for key in ("key", "[x]*", "shelf:key"):
        await put(cache, key, key)
    found = await cache.look_up("shelf2", "key")
    await cache.set("shelf2", "key", "kept", 60, token=found.token)
    await other.clear("shelf")
    assert [await cache.get("shelf", key) for key in ("key", "[x]*", "shelf:key")] == [MISS] * 3
    assert await other.get("shelf2", "key") == "kept"


async def test_what_was_read_before_a_commit_and_stored_after_it_is_never_served(
    cache: RedisCache, other: RedisCache
) -> None:
    before = await cache.look_up("shelf", "key")
    await other.clear("shelf")  # The other worker has committed.
    await cache.set("shelf", "key", "old", 60, token=before.token)
    assert await cache.get("shelf", "key") is MISS
    assert await other.get("shelf", "key") is MISS
    await put(other, "new")
    await cache.set("shelf", "key", "old", 60, token=before.token)
    assert await cache.get("shelf", "key") is MISS


async def test_a_namespace_that_lost_its_token_starts_anew(cache: RedisCache, bare: "Redis") -> None:
    await put(cache, "old")
    old = await bare.get(ENTRY)
    await bare.delete(TOKEN)  # Evicted, say.
    assert await cache.get("shelf", "key") is MISS
    assert await bare.get(TOKEN) is not None
    assert await bare.get(ENTRY) == old
    assert await cache.get("shelf", "key") is MISS


async def test_workers_that_begin_at_once_agree_on_one_token(cache: RedisCache, other: RedisCache) -> None:
    found = await asyncio.gather(*[worker.look_up("shelf", "key") for worker in (cache, other) * 10])
    assert len({entry.token for entry in found}) == 1
    assert found[0].token


async def test_entries_of_one_moment_do_not_end_in_one_moment(cache: RedisCache, bare: "Redis") -> None:
    for number in range(40):
        await put(cache, number, str(number))
    lives = [await bare.pttl(f"shop:1:shelf:entry:{number}") for number in range(40)]
    assert min(lives) >= 53_000 and max(lives) <= 60_000, lives
    assert max(lives) - min(lives) > 1000, lives


GARBAGE = [
    b"\x80\x04]\x94.",
    b"not json",
    b"",
    b"null",
    b"[]",
    b'"text"',
    b"{}",
    b"\xff\xfe",
    b"[" * 5000,
    b'{"name": 1, "token": 2, "value": 3}',
]


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_in_an_entry_is_a_miss_and_the_next_store_replaces_it(
    cache: RedisCache, bare: "Redis", garbage: bytes
) -> None:
    await put(cache, "good")
    await bare.set(ENTRY, garbage)
    assert await cache.get("shelf", "key") is MISS
    await put(cache, "better")
    assert await cache.get("shelf", "key") == "better"
    assert cache.state()["status"] == "up"


@pytest.mark.parametrize("garbage", [*GARBAGE, b"0" * 17, b"0123456789ABCDEF"])
async def test_garbage_for_a_token_is_replaced(cache: RedisCache, bare: "Redis", garbage: bytes) -> None:
    await bare.set(TOKEN, garbage)
    await put(cache, "good")
    await put(cache, "good")
    assert await cache.get("shelf", "key") == "good"
    assert cache.counters.errors >= 1


async def test_an_entry_of_another_key_is_a_miss(cache: RedisCache, bare: "Redis") -> None:
    await put(cache, "mine")
    await put(cache, "theirs", "another")
    await bare.set(ENTRY, await bare.get("shop:1:shelf:entry:another"))
    assert await cache.get("shelf", "key") is MISS


@pytest.mark.parametrize("field", ["expires", "cost"])
async def test_an_entry_with_an_impossible_number_is_a_miss(
    cache: RedisCache, bare: "Redis", field: str
) -> None:
    await put(cache, "good")
    fields = orjson.loads(await bare.get(ENTRY))
    await bare.set(ENTRY, orjson.dumps({**fields, field: "soon"}))
    assert await cache.get("shelf", "key") is MISS
    assert cache.counters.errors == 1


@pytest.mark.parametrize("name", [ENTRY, TOKEN])
async def test_a_list_where_a_text_belongs_is_a_miss(cache: RedisCache, bare: "Redis", name: str) -> None:
    await put(cache, "good")
    await bare.delete(name)
    await bare.rpush(name, "x")
    assert await cache.get("shelf", "key") is MISS
    await cache.clear("shelf")
    await put(cache, "better")
    assert await cache.get("shelf", "key") == "better"
    assert cache.state()["status"] == "up"


async def test_without_an_address_there_is_no_cache_and_nothing_is_counted() -> None:
    async with open_cache(CacheSettings()) as cache:
        await put(cache, 1)
        assert await cache.get("shelf", "key") is MISS
        await cache.delete("shelf", "key")
        await cache.clear("shelf")
        assert cache.state() == {"status": "off", "reason": None, "hits": 0, "misses": 0, "errors": 0}
