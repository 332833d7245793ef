"""RedisLock: who does not get it does not do it."""

import asyncio

import pytest
from redis.asyncio import Redis

from redis_server import RedisServer
from shop.core.cache import LockNotAcquired, RedisCache, RedisLock, open_cache
from shop.settings.cache import CacheSettings

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("patient")]


async def test_of_many_who_want_it_one_runs(cache: RedisCache, other: RedisCache) -> None:
    ran: list[int] = []
    refused = 0

    async def section(number: int) -> None:
        nonlocal refused
        try:
            async with RedisLock((cache, other)[number % 2], "work"):
                ran.append(number)
                await asyncio.sleep(0.3)
        except LockNotAcquired:
            refused += 1

    await asyncio.gather(*[section(number) for number in range(10)])
    assert (len(ran), refused) == (1, 9)


async def test_it_is_free_again_after_the_section_and_after_a_failure_in_it(cache: RedisCache) -> None:
    for _ in range(2):
        with pytest.raises(LookupError):
            async with RedisLock(cache, "work"):
                raise LookupError
    assert await RedisLock(cache, "work").acquire()


async def test_it_ends_by_itself_and_the_late_holder_does_not_free_the_next_ones(
    cache: RedisCache, other: RedisCache
) -> None:
    late, following = RedisLock(cache, "work", timeout=0.1), RedisLock(other, "work")
    assert await late.acquire()
    await asyncio.sleep(0.2)
    assert await following.acquire()
    await late.release()
    assert not await RedisLock(cache, "work").acquire()
    await following.release()
    assert await RedisLock(cache, "work").acquire()
    assert cache.state()["status"] == "up"


async def test_tokens_are_random_and_the_key_always_ends(cache: RedisCache, bare: "Redis") -> None:
    tokens = set()
    for number in range(20):
        assert await RedisLock(cache, str(number)).acquire()
        tokens.add(await bare.get(f"shop:1:lock:{number}"))
        assert 0 < await bare.pttl(f"shop:1:lock:{number}") <= 10_000
    assert len(tokens) == 20


async def test_without_redis_nobody_gets_it(redis: RedisServer, cache: RedisCache) -> None:
    redis.kill()
    for cannot in (cache, RedisCache(None)):
        with pytest.raises(LockNotAcquired):
            async with RedisLock(cannot, "work"):
                raise AssertionError("the section ran without its lock")
    async with open_cache(CacheSettings(redis_url=redis.url)) as late:
        lock = RedisLock(late, "work")
        assert not await lock.acquire()
        await lock.release()
