"""`cached`: a function's result from Redis, loaded by one caller for all who ask at once."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from functools import update_wrapper
from hashlib import blake2b
from random import random
from typing import Any, Concatenate, ParamSpec, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from shop.core.cache.lock import LockNotAcquired, RedisLock
from shop.core.cache.store import MISS, Found, RedisCache

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

LONGEST_PLAIN_KEY = 100


def cache_key(arguments: dict[str, Any]) -> str:
    """The key of a call: its keyword arguments as JSON, digested when long.

    Raises TypeError for an argument that JSON cannot express, such as a connection.
    """
    text = orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS)
    return text.decode() if len(text) <= LONGEST_PLAIN_KEY else blake2b(text, digest_size=16).hexdigest()


def _is_due(found: Found) -> bool:
    """Whether to load anew before the entry ends, the likelier the closer the end and the dearer the load.

    Probabilistic early expiration: Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede
    Prevention", VLDB 2015, with beta 1.
    """
    return time.time() - found.cost * math.log(1 - random()) >= found.expires  # noqa: S311 - spreads


def cached(
    expire: float = 300, *, key_prefix: str, shape: type[Result], unless: Callable[..., bool] | None = None
) -> Callable[
    [Callable[Arguments, Awaitable[Result]]],
    Callable[Concatenate[RedisCache, Arguments], Awaitable[Result]],
]:
    """Keep what an async function returns for `expire` seconds at most; the wrapper takes the cache first.

    Positional arguments are what the function works with (an engine) and no part of the key; keyword
    arguments are the key. `key_prefix` is the namespace, which RedisCache.clear makes forgotten. `shape` is
    the result's type: an entry that does not fit it is a miss. When `unless` is true for the arguments, the
    function is simply called. Raises what the function raises; that is not kept.
    """
    adapter: TypeAdapter[Result] = TypeAdapter(shape)

    def decorate(
        function: Callable[Arguments, Awaitable[Result]],
    ) -> Callable[Concatenate[RedisCache, Arguments], Awaitable[Result]]:
        async def wrapper(cache: RedisCache, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            if not cache.is_on or (unless is not None and unless(*args, **kwargs)):
                return await function(*args, **kwargs)
            key = cache_key(kwargs)

            async def load(token: str) -> Result:
                start = time.perf_counter()
                value = await function(*args, **kwargs)
                cost = time.perf_counter() - start
                plain = adapter.dump_python(value, mode="json")
                await cache.set(key_prefix, key, plain, expire, token=token, cost=cost)
                return value

            found = await cache.look_up(key_prefix, key)
            if found.value is not MISS:
                try:
                    value = adapter.validate_python(found.value)
                except ValidationError:
                    cache.link.count_error(key_prefix)
                else:
                    if _is_due(found):
                        cache.in_background(_refresh(cache, f"{key_prefix}:{key}", found.token, load))
                    return value
            return await _join(cache, (key_prefix, key, found.token), load)

        return update_wrapper(wrapper, function)

    return decorate


async def _refresh(
    cache: RedisCache, name: str, token: str, load: Callable[[str], Awaitable[object]]
) -> None:
    try:
        async with RedisLock(cache, name):
            await load(token)
    except LockNotAcquired:
        return


async def _join(
    cache: RedisCache, flight: tuple[str, str, str], load: Callable[[str], Awaitable[Result]]
) -> Result:
    """The result of the load under way with this token, of a new one when there is none.

    It is a task of its own: a caller who leaves takes nothing from the others.
    """
    task = cache.flights.get(flight)
    if task is None:
        task = cache.flights[flight] = asyncio.ensure_future(load(flight[2]))

        def land(done: "asyncio.Task[Any]") -> None:
            if cache.flights.get(flight) is done:
                del cache.flights[flight]
            if not done.cancelled():
                # Marks an error as seen when every caller has left.
                done.exception()

        task.add_done_callback(land)
    result: Result = await asyncio.shield(task)
    return result
