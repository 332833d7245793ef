"""The limit of failed logins: a moving window of a minute per account and per network.

Counted in Redis, where every worker sees it, or in the memory of each worker when there is no Redis or it has
died: then an attacker has the limit once per worker, and nobody is locked out of a service that could serve.
"""

import hashlib
import ipaddress
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter as RedisLimiter
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter as MemoryLimiter

from shop.core.cache.link import Link
from shop.core.errors import AppError
from shop.users.service import normalise_email

IPV6_NETWORK_BITS = 64
LONGEST_ADDRESS = 64

Result = TypeVar("Result")
log = structlog.get_logger("shop.auth")


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


class LoginThrottle:
    """Counts failed logins and says when there were too many."""

    def __init__(self, attempts_per_minute: int, link: Link) -> None:
        self._limit = RateLimitItemPerMinute(attempts_per_minute, namespace="login")
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

    def keys(self, email: str, address: str | None) -> list[tuple[str, str]]:
        """What a login with these is counted under; without an address, under the account alone."""
        # Hashed: what is typed into the field of a name may be a password, and may be long.
        account = hashlib.sha256(normalise_email(email).encode("utf-8", "replace")).hexdigest()
        keys = [("account", account)]
        return keys + ([("network", network_of(address))] if address else [])

    async def admit(self, keys: Sequence[tuple[str, str]]) -> None:
        """Let a login be tried. Raises AppError 429 `too_many_logins` when one of `keys` failed too often."""
        for key in keys:
            # What was counted in memory while Redis was away holds on after it is back.
            windows = [self._memory.get_window_stats(self._limit, *key)]
            if self._redis is not None:
                in_redis = await self._ask(partial(self._redis.get_window_stats, self._limit, *key))
                windows += [in_redis] if in_redis else []
            resets = [window.reset_time for window in windows if window.remaining < 1]
            if resets:
                raise self._refusal(math.ceil(max(resets) - time.time()))

    async def count_failure(self, keys: Sequence[tuple[str, str]]) -> None:
        """Remember that a login with `keys` failed."""
        for key in keys:
            if self._redis is None or await self._ask(partial(self._redis.hit, self._limit, *key)) is None:
                self._memory.hit(self._limit, *key)

    def _refusal(self, seconds: int) -> AppError:
        seconds = max(1, seconds)
        return AppError(
            429,
            "too_many_logins",
            f"Too many logins failed for this account or from this network. Try again in {seconds} seconds.",
            # draft-ietf-httpapi-ratelimit-headers-10
            headers={
                "Retry-After": str(seconds),
                "RateLimit-Policy": f'"login";q={self._limit.amount};w={self._limit.get_expiry()}',
                "RateLimit": f'"login";r=0;t={seconds}',
            },
        )

    async def _ask(self, redis: Callable[[], Awaitable[Result]]) -> Result | None:
        """What Redis answers, None while it does not."""
        answer = await self._link.call(lambda _: redis(), None)
        if (answer is None) != self._in_memory:
            self._in_memory = answer is None
            if self._in_memory:
                log.warning("login_limit_in_memory", until="Redis answers again", per="worker")
            else:
                log.info("login_limit_in_redis")
        return answer
