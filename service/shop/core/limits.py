"""Limits of what may be tried: a moving window of a minute, counted under a name such as a network.

Counted in Redis, where every worker sees it, or in the memory of each worker when there is no Redis or it has
died: then an attacker has the limit once per worker, and nobody is locked out of a service that could serve.
"""

import ipaddress
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import structlog
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter as RedisLimiter
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter as MemoryLimiter

from shop.core.cache.link import Link
from shop.core.errors import AppError

IPV6_NETWORK_BITS = 64
LONGEST_ADDRESS = 64

Result = TypeVar("Result")
# What is counted: so many a minute, under the name of a kind and a text of its own.
Count = tuple[RateLimitItem, str, str]
log = structlog.get_logger("shop.limits")


def network_of(address: str) -> str:
    """The network that one attacker is assumed to own: an IPv4 address, or the /64 of an IPv6 one."""
    address = address[:LONGEST_ADDRESS]
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(ip), IPV6_NETWORK_BITS), strict=False))
    return str(ip)


class Limiter:
    """Counts under names and says which counts are full. `policy` names the limit in headers and keys."""

    def __init__(self, policy: str, link: Link) -> None:
        self.policy = policy
        self._memory = MemoryLimiter(MemoryStorage())
        self._link = link
        self._redis: RedisLimiter | None = None
        if link.client is not None:
            # The address is in the pool; the library wants to read a scheme all the same.
            options: dict[str, Any] = {"connection_pool": link.client.connection_pool}
            storage = RedisStorage(
                "async+redis://", implementation="redispy", key_prefix="shop:limit", **options
            )
            self._redis = RedisLimiter(storage)
        self._in_memory = False

    def per_minute(self, amount: int) -> RateLimitItem:
        """A limit of this limiter, for counts."""
        return RateLimitItemPerMinute(amount, namespace=self.policy)

    async def admit(self, counts: Sequence[Count], code: str, sentence: str) -> None:
        """Raise AppError 429 `code` when one of `counts` is full; `sentence` says of what were too many."""
        for count in counts:
            # What was counted in memory while Redis was away holds on after it is back.
            windows = [self._memory.get_window_stats(*count)]
            if self._redis is not None:
                in_redis = await self._ask(partial(self._redis.get_window_stats, *count))
                windows += [in_redis] if in_redis else []
            resets = [window.reset_time for window in windows if window.remaining < 1]
            if resets:
                raise self._refusal(count[0], math.ceil(max(resets) - time.time()), code, sentence)

    async def add(self, counts: Sequence[Count]) -> None:
        """Count one more under each."""
        for count in counts:
            counted = self._redis is not None and await self._ask(partial(self._redis.hit, *count))
            if counted is None or self._redis is None:
                self._memory.hit(*count)
            elif self._in_memory:
                # Reading alone does not show it: a Redis that is full answers and counts nothing.
                self._in_memory = False
                log.info(f"{self.policy}_limit_in_redis")

    def _refusal(self, limit: RateLimitItem, seconds: int, code: str, sentence: str) -> AppError:
        seconds = max(1, seconds)
        return AppError(
            429,
            code,
            f"{sentence} Try again in {seconds} seconds.",
            # draft-ietf-httpapi-ratelimit-headers-10
            headers={
                "Retry-After": str(seconds),
                "RateLimit-Policy": f'"{self.policy}";q={limit.amount};w={limit.get_expiry()}',
                "RateLimit": f'"{self.policy}";r=0;t={seconds}',
            },
        )

    async def _ask(self, redis: Callable[[], Awaitable[Result]]) -> Result | None:
        """What Redis answers, None while it does not."""
        answer = await self._link.call(lambda _: redis(), None)
        if answer is None and not self._in_memory:
            self._in_memory = True
            log.warning(f"{self.policy}_limit_in_memory", until="Redis answers again", per="worker")
        return answer
