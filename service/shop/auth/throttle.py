"""The limit of failed logins: a moving window of a minute per account and per network.

Counted in Redis, where every worker sees it, or in the memory of each worker when there is no Redis or it has
died: then an attacker has the limit once per worker, and nobody is locked out of a service that could serve.
"""

import hashlib
import ipaddress
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter as RedisLimiter
from limits.errors import StorageError
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter as MemoryLimiter
from limits.util import WindowStats
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from shop.core.errors import AppError
from shop.settings import Settings
from shop.users.service import normalise_email

# Seconds: for Redis to answer, and for a connection of the pool to be free.
REDIS_TIMEOUT = 0.25
REDIS_QUEUE_TIMEOUT = 1.0
# How long the memory counts before Redis is tried again, in seconds.
REDIS_PAUSE = 5.0
IPV6_NETWORK_BITS = 64

Result = TypeVar("Result")
log = structlog.get_logger("shop.auth")


def network_of(address: str) -> str:
    """The network that one attacker is assumed to own: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((int(ip), IPV6_NETWORK_BITS), strict=False))
    return str(ip)


class LoginThrottle:
    """Counts failed logins and says when there were too many."""

    def __init__(self, attempts_per_minute: int, redis: RedisStorage | None) -> None:
        self._limit = RateLimitItemPerMinute(attempts_per_minute, namespace="login")
        self._memory = MemoryLimiter(MemoryStorage())
        self._redis = RedisLimiter(redis) if redis is not None else None
        self._redis_paused_until = 0.0

    def keys(self, email: str, address: str | None) -> list[tuple[str, str]]:
        """What a login with these is counted under; without an address, under the account alone."""
        # Hashed: what is typed into the field of a name may be a password, and may be long.
        account = hashlib.sha256(normalise_email(email).encode("utf-8", "replace")).hexdigest()
        keys = [("account", account)]
        return keys + ([("network", network_of(address))] if address else [])

    async def admit(self, keys: Sequence[tuple[str, str]]) -> None:
        """Let a login be tried. Raises AppError 429 `too_many_logins` when one of `keys` failed too often."""
        for key in keys:
            window = await self._window(key)
            if window.remaining < 1:
                raise self._refusal(math.ceil(window.reset_time - time.time()))

    async def count_failure(self, keys: Sequence[tuple[str, str]]) -> None:
        """Remember that a login with `keys` failed."""
        for key in keys:
            if self._redis is None or await self._ask(partial(self._redis.hit, self._limit, *key)) is None:
                self._memory.hit(self._limit, *key)

    async def _window(self, key: tuple[str, str]) -> WindowStats:
        window = None
        if self._redis is not None:
            window = await self._ask(partial(self._redis.get_window_stats, self._limit, *key))
        return window or self._memory.get_window_stats(self._limit, *key)

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
        if time.monotonic() < self._redis_paused_until:
            return None
        try:
            answer = await redis()
        except StorageError as error:
            if not self._redis_paused_until:
                log.warning(
                    "login_limit_in_memory",
                    message="Redis does not answer: until it does, each worker counts for itself.",
                    reason=str(error.storage_error),
                )
            self._redis_paused_until = time.monotonic() + REDIS_PAUSE
            return None
        if self._redis_paused_until:
            log.info("login_limit_in_redis", message="Redis answers again and counts failed logins.")
            self._redis_paused_until = 0.0
        return answer


@asynccontextmanager
async def open_throttle(settings: Settings) -> AsyncIterator[LoginThrottle]:
    """The throttle of one worker; its connections to Redis open at first use and close at the end."""
    if not settings.redis_url:
        yield LoginThrottle(settings.login_attempts_per_minute, None)
        return
    password = settings.redis_password
    pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
        settings.redis_url,
        password=password.get_secret_value() if password else None,
        max_connections=settings.redis_pool_size,
        timeout=REDIS_QUEUE_TIMEOUT,
        socket_timeout=REDIS_TIMEOUT,
        socket_connect_timeout=REDIS_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )
    # The address is in the pool; the library wants to read a scheme all the same.
    options: dict[str, Any] = {"implementation": "redispy", "connection_pool": pool}
    storage = RedisStorage("async+redis://", wrap_exceptions=True, key_prefix="shop:limit", **options)
    try:
        yield LoginThrottle(settings.login_attempts_per_minute, storage)
    finally:
        await pool.aclose()
