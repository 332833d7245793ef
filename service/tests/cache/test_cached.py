"""`cached`: loaded once for all who ask, and never the reason why somebody gets the wrong thing."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from redis.asyncio import Redis

from conftest import eventually
from shop.core.cache import RedisCache, cached, open_cache
from shop.settings.cache import CacheSettings

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("patient")]

Load = Callable[..., Awaitable[Any]]


class Source:
    """Where values are loaded from: counts the loads, and can be slow or fail."""

    def __init__(self) -> None:
        self.loads = 0
        self.value: Any = "value"
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def load(self) -> Any:
        self.loads += 1
        value = self.value
        await self.gate.wait()
        if self.error:
            raise self.error
        return value


@pytest.fixture
async def source() -> Source:
    return Source()


@cached(expire=60, key_prefix="things", shape=Any)
async def thing(source: Source, *, name: str = "x", of: uuid.UUID | None = None) -> Any:
    return await source.load()


async def test_it_is_loaded_once_for_every_worker(
    cache: RedisCache, other: RedisCache, source: Source
) -> None:
    assert [await thing(worker, source) for worker in (cache, other, cache)] == ["value"] * 3
    assert source.loads == 1


async def test_the_key_is_what_is_asked_not_what_it_is_asked_with(cache: RedisCache, source: Source) -> None:
    another = Source()
    assert await thing(cache, source, name="a") == await thing(cache, another, name="a")
    assert (source.loads, another.loads) == (1, 0)
    account = uuid.uuid4()
    await thing(cache, source, name="b")
    await thing(cache, source, name="b", of=account)
    await thing(cache, source, of=account, name="b")
    assert source.loads == 3


async def test_long_and_strange_names_are_names(cache: RedisCache, source: Source) -> None:
    names = ["", "*", "a b", "\r\nFLUSHALL\r\n", "x" * 5000, "x" * 4999 + "y", "é", "\x00", "a", '"a"']
    for name in names:
        source.value = name
        await thing(cache, source, name=name)
    source.value = "loaded again"
    assert [await thing(cache, source, name=name) for name in names] == names


async def test_a_connection_can_not_become_part_of_a_key(cache: RedisCache) -> None:
    with pytest.raises(TypeError):
        await thing(cache, Source(), of=object())


async def test_nothing_is_a_value_too(cache: RedisCache, source: Source) -> None:
    source.value = None
    assert [await thing(cache, source) for _ in range(3)] == [None] * 3
    assert source.loads == 1


async def test_values_come_back_with_their_types(cache: RedisCache) -> None:
    loads = 0

    @cached(key_prefix="prices", shape=tuple[Decimal, uuid.UUID])
    async def price() -> tuple[Decimal, uuid.UUID]:
        nonlocal loads
        loads += 1
        return Decimal("19.90"), uuid.UUID(int=7)

    first, second = await price(cache), await price(cache)
    assert first == second == (Decimal("19.90"), uuid.UUID(int=7))
    assert str(second[0]) == "19.90"
    assert loads == 1


async def test_an_entry_of_another_shape_is_a_miss(cache: RedisCache, source: Source) -> None:
    @cached(key_prefix="things", shape=list[int])
    async def numbers() -> list[int]:
        return [1, 2]

    await thing(cache, source)
    key = (await cache.look_up("things", "{}")).token
    await cache.set("things", "{}", "of another release", 60, token=key)
    assert await numbers(cache) == [1, 2]
    assert cache.counters.errors == 1
    assert await cache.get("things", "{}") == [1, 2]


async def test_a_hundred_who_ask_at_once_share_one_load(cache: RedisCache, source: Source) -> None:
    source.gate.clear()
    asking = [asyncio.ensure_future(thing(cache, source)) for _ in range(100)]
    await eventually(lambda: cache.counters.misses == 100)
    source.gate.set()
    assert await asyncio.gather(*asking) == ["value"] * 100
    assert source.loads == 1
    assert cache.flights == {}


async def test_who_leaves_takes_nothing_from_the_others(cache: RedisCache, source: Source) -> None:
    source.gate.clear()
    first = asyncio.ensure_future(thing(cache, source))
    await eventually(lambda: source.loads == 1)
    second = asyncio.ensure_future(thing(cache, source))
    await eventually(lambda: cache.counters.misses == 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    source.gate.set()
    assert await second == "value"
    assert source.loads == 1


async def test_a_failure_is_everybodys_once_and_is_not_kept(cache: RedisCache, source: Source) -> None:
    source.gate.clear()
    source.error = LookupError("gone")
    asking = [asyncio.ensure_future(thing(cache, source)) for _ in range(5)]
    await eventually(lambda: cache.counters.misses == 5)
    source.gate.set()
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(result) for result in results] == [LookupError] * 5
    source.error = None
    assert await thing(cache, source) == "value"
    assert source.loads == 2


@pytest.mark.parametrize("here", [True, False])
async def test_who_asks_after_a_commit_never_gets_a_load_from_before_it(
    cache: RedisCache, other: RedisCache, source: Source, here: bool
) -> None:
    source.gate.clear()
    source.value = "old"
    early = asyncio.ensure_future(thing(cache, source))
    await eventually(lambda: source.loads == 1)
    source.value = "new"
    await (cache if here else other).clear("things")  # The commit was in this worker, or in the other one.
    late = asyncio.ensure_future(thing(cache, source))
    await eventually(lambda: source.loads == 2)
    source.gate.set()
    assert (await early, await late) == ("old", "new")
    assert [await thing(worker, source) for worker in (cache, other)] == ["new", "new"]
    assert source.loads == 2


async def test_unless_neither_reads_nor_stores(cache: RedisCache, source: Source, bare: "Redis") -> None:
    @cached(key_prefix="fresh", shape=str, unless=lambda _, fresh: fresh)
    async def maybe(source: Source, *, fresh: bool) -> str:
        return str(await source.load())

    for _ in range(3):
        await maybe(cache, source, fresh=True)
    assert source.loads == 3
    assert await bare.keys("*") == []
    assert cache.counters.misses == 0


async def test_an_entry_about_to_end_is_loaded_anew_behind_the_answer_by_one_worker(
    cache: RedisCache, other: RedisCache, source: Source
) -> None:
    token = (await cache.look_up("things", "{}")).token
    # So dear a load is due long before the end.
    await cache.set("things", "{}", "kept", 60, token=token, cost=1e9)
    source.gate.clear()
    answers = await asyncio.gather(*[thing(worker, source) for worker in (cache, other) * 10])
    assert answers == ["kept"] * 20
    await eventually(lambda: source.loads == 1)
    await asyncio.sleep(0.2)
    assert source.loads == 1
    source.gate.set()
    await eventually(lambda: not cache._background and not other._background)
    assert await thing(other, source) == "value"
    assert source.loads == 1


async def test_a_refresh_that_fails_leaves_the_answer_and_says_so_in_the_log(
    cache: RedisCache, source: Source, cache_events: list[Any]
) -> None:
    token = (await cache.look_up("things", "{}")).token
    await cache.set("things", "{}", "kept", 60, token=token, cost=1e9)
    source.error = LookupError("gone")
    assert await thing(cache, source) == "kept"
    await eventually(lambda: not cache._background)
    assert await cache.get("things", "{}") == "kept"
    assert [event["event"] for event in cache_events] == ["cache_refresh_failed"]


async def test_without_a_cache_every_call_is_a_call(source: Source) -> None:
    async with open_cache(CacheSettings()) as off:
        for _ in range(3):
            assert await thing(off, source) == "value"
    assert source.loads == 3
