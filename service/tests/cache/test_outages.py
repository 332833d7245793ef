"""Redis away, hanging, full or somebody else: every answer is right, and nobody waits for it twice."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from conftest import eventually
from redis_server import RedisServer
from shop.core.cache import MISS, RedisCache, cached, open_cache
from shop.core.cache.connection import SOCKET_TIMEOUT
from shop.settings.cache import CacheSettings

pytestmark = pytest.mark.anyio

# What a machine that is busy with other things adds to a timeout.
SLACK = 4.0

truth = {"now": "first"}


@cached(expire=60, key_prefix="truth", shape=str)
async def told() -> str:
    return truth["now"]


@pytest.fixture(autouse=True)
def _first() -> None:
    truth["now"] = "first"


def is_(cache: RedisCache, status: str) -> Callable[[], bool]:
    return lambda: cache.state()["status"] == status


async def change(cache: RedisCache, value: str) -> None:
    truth["now"] = value
    await cache.clear("truth")


async def test_absent_from_the_start_it_is_told_once(tmp_path: Any, cache_events: list[Any]) -> None:
    async with open_cache(CacheSettings(redis_url=f"unix://{tmp_path}/none.sock")) as cache:
        for value in ("first", "second", "third"):
            await change(cache, value)
            assert await told(cache) == value
        assert is_(cache, "down")()
        assert cache.state()["reason"] == "ConnectionError"
        assert cache.counters.misses == 3
    assert [(event["event"], event["now"]) for event in cache_events] == [("cache_state_changed", "down")]


async def test_dying_under_way_and_coming_back_empty(
    redis: RedisServer, cache: RedisCache, cache_events: list[Any]
) -> None:
    assert [await told(cache), await told(cache)] == ["first", "first"]
    redis.kill()
    await change(cache, "second")
    assert [await told(cache) for _ in range(50)] == ["second"] * 50
    assert cache.counters.errors == 1
    redis.start()
    await eventually(is_(cache, "up"))
    assert [await told(cache), await told(cache)] == ["second", "second"]
    assert cache.counters.hits == 2
    assert [event["now"] for event in cache_events] == ["down", "up"]


async def test_a_restart_between_two_requests_is_no_wrong_answer(
    redis: RedisServer, cache: RedisCache
) -> None:
    await told(cache)
    redis.kill()
    redis.start()
    await change(cache, "second")
    assert await told(cache) == "second"
    await eventually(is_(cache, "up"))
    assert [await told(cache), await told(cache)] == ["second", "second"]


async def test_hanging_costs_one_wait_and_what_changed_meanwhile_is_not_served_after_it(
    redis: RedisServer, cache: RedisCache, other: RedisCache
) -> None:
    assert [await told(cache), await told(other)] == ["first", "first"]
    redis.freeze()
    start = time.monotonic()
    await change(cache, "second")
    assert await told(cache) == "second"
    assert time.monotonic() - start < SOCKET_TIMEOUT + SLACK
    start = time.monotonic()
    for _ in range(200):
        assert await told(cache) == "second"
    assert time.monotonic() - start < SLACK
    redis.thaw()
    await eventually(is_(cache, "up"))
    # The other worker was idle and noticed nothing: the first one told Redis when it could.
    assert is_(other, "up")()
    assert [await told(worker) for worker in (other, cache, other)] == ["second"] * 3


async def test_hanging_with_many_at_once_costs_each_of_them_one_wait(
    redis: RedisServer, cache: RedisCache
) -> None:
    await told(cache)
    redis.freeze()
    start = time.monotonic()
    assert await asyncio.gather(*[told(cache) for _ in range(100)]) == ["first"] * 100
    assert time.monotonic() - start < 2 * SOCKET_TIMEOUT + SLACK
    assert is_(cache, "down")()
    redis.thaw()
    await eventually(is_(cache, "up"))


async def test_a_worker_that_lost_it_trusts_nothing_from_before(
    redis: RedisServer, cache: RedisCache, other: RedisCache
) -> None:
    assert [await told(cache), await told(cache)] == ["first", "first"]
    redis.freeze()
    await told(cache)
    assert is_(cache, "down")()
    truth["now"] = "second"  # Committed by a process that died before it could say so.
    redis.thaw()
    await eventually(is_(cache, "up"))
    assert await told(cache) == "second"


async def test_full_it_still_forgets(redis: RedisServer, cache_events: list[Any]) -> None:
    redis.kill()
    redis.start(**{"maxmemory-policy": "noeviction"})
    async with (
        open_cache(CacheSettings(redis_url=redis.url)) as cache,
        Redis(unix_socket_path=str(redis.socket)) as bare,
    ):
        assert [await told(cache), await told(cache)] == ["first", "first"]
        await bare.config_set("maxmemory", "1")
        assert await told(cache) == "first"
        assert cache.counters.hits == 2
        for value in ("second", "third"):
            await change(cache, value)
            assert [await told(cache) for _ in range(20)] == [value] * 20
        assert is_(cache, "full")()
        assert cache.counters.errors < 5
        await bare.config_set("maxmemory", "0")
        await asyncio.sleep(1.1)
        assert [await told(cache), await told(cache)] == ["third", "third"]
        assert is_(cache, "up")()
        assert cache.counters.hits == 3
    assert [event["now"] for event in cache_events] == ["full", "up"]


async def test_one_that_refuses_to_forget_is_not_read(redis: RedisServer, cache: RedisCache) -> None:
    assert [await told(cache), await told(cache)] == ["first", "first"]
    async with Redis(unix_socket_path=str(redis.socket)) as bare:
        # A replica that cannot reach its primary serves what it has and takes no change.
        await bare.replicaof("127.0.0.1", "1")
        await change(cache, "second")
        assert [await told(cache) for _ in range(5)] == ["second"] * 5
        assert is_(cache, "down")()
        assert cache.state()["reason"] == "ReadOnlyError"
        await bare.replicaof("NO", "ONE")
        await eventually(is_(cache, "up"))
    assert [await told(cache), await told(cache)] == ["second", "second"]


@pytest.mark.parametrize("given", [None, "another one"])
async def test_the_wrong_password_is_no_cache(
    redis: RedisServer, cache_events: list[Any], given: str | None
) -> None:
    redis.kill()
    redis.start(requirepass="the right one")
    async with open_cache(CacheSettings(redis_url=redis.url, redis_password=given)) as cache:
        for value in ("first", "second"):
            await change(cache, value)
            assert await told(cache) == value
        assert is_(cache, "down")()
        assert "one" not in str(cache.state())
    assert "one" not in str([event for event in cache_events if event.pop("event")])
    async with open_cache(CacheSettings(redis_url=redis.url, redis_password="the right one")) as cache:
        assert [await told(cache), await told(cache)] == ["second", "second"]
        assert cache.counters.hits == 1


@asynccontextmanager
async def peer(path: str, answer: bytes | None) -> AsyncIterator[None]:
    """A server that is no Redis: says `answer` to whatever it hears, or hangs up when that is None."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while answer is not None and await reader.read(65536):
                writer.write(answer)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_unix_server(serve, path)
    try:
        yield
    finally:
        server.close()


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00\xff" * 100 + b"\r\n",
        b":many\r\n",
        b"*1000000000000\r\n",
        b"*-7\r\n",
        b"$3\r\nabcdef\r\n",
        b"$zz\r\n",
        b"*2\r\n$1\r\nx\r\n",
        b"*3\r\n$-1\r\n$-1\r\n$-1\r\n",
        b"+OK\r\n",
        b":7\r\n",
        b"-ERR unknown command\r\n",
        b"-LOADING Redis is loading the dataset in memory\r\n",
    ],
)
async def test_a_peer_that_talks_nonsense_is_no_cache(tmp_path: Any, answer: bytes | None) -> None:
    path = f"{tmp_path}/peer.sock"
    async with peer(path, answer), open_cache(CacheSettings(redis_url=f"unix://{path}")) as cache:
        for value in ("first", "second", "third"):
            await change(cache, value)
            assert await asyncio.wait_for(told(cache), 3 * SOCKET_TIMEOUT + SLACK) == value
        assert cache.counters.hits == 0
        assert cache.counters.errors >= 1


async def test_more_who_ask_than_connections_get_their_answers(redis: RedisServer) -> None:
    async with open_cache(CacheSettings(redis_url=redis.url, redis_pool_size=1)) as cache:
        assert await asyncio.gather(*[told(cache) for _ in range(200)]) == ["first"] * 200


async def test_a_caller_who_leaves_in_the_middle_of_an_answer_leaves_no_half_answer(
    redis: RedisServer, cache: RedisCache
) -> None:
    for number in range(50):
        found = await cache.look_up("numbers", str(number))
        await cache.set("numbers", str(number), number, 60, token=found.token)
    for pause in range(100):
        asking = asyncio.ensure_future(cache.get("numbers", str(pause % 50)))
        await asyncio.sleep(pause / 100_000)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        other = (pause + 1) % 50
        assert await cache.get("numbers", str(other)) in (other, MISS)
    await eventually(is_(cache, "up"))
    assert [await cache.get("numbers", str(number)) for number in range(50)].count(MISS) in (0, 50)


async def test_closing_ends_loads_and_probes(tmp_path: Any) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    before = asyncio.all_tasks()
    async with open_cache(CacheSettings(redis_url=f"unix://{tmp_path}/none.sock")) as cache:
        await told(cache)
        cache.in_background(never())
    assert asyncio.all_tasks() - before == set()
