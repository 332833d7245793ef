"""Opening the cache from the settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shop.core.cache.store import RedisCache
from shop.settings.cache import CacheSettings

if TYPE_CHECKING:
    from redis.asyncio import Redis

# What one request can lose to a Redis that hangs, once: after that the link is down and nothing is sent.
SOCKET_TIMEOUT = 0.25
PORT = 6379


def _client(settings: CacheSettings) -> "Redis":
    # Here and below only where there is a Redis: the start of each worker pays for what is imported.
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    address = urlsplit(settings.redis_url)
    password = settings.redis_password
    where: dict[str, Any]
    if address.scheme == "unix":
        where = {"connection_class": UnixDomainSocketConnection, "path": address.path}
    else:
        where = {
            "connection_class": SSLConnection if address.scheme == "rediss" else Connection,
            "host": address.hostname,
            "port": address.port or PORT,
            "db": int(address.path.strip("/") or 0),
        }
    if address.scheme == "rediss":
        where |= {
            "ssl_ca_certs": settings.redis_ca and str(settings.redis_ca),
            "ssl_certfile": settings.redis_certificate and str(settings.redis_certificate),
            "ssl_keyfile": settings.redis_key and str(settings.redis_key),
            "ssl_check_hostname": True,
        }
    pool = BlockingConnectionPool(
        max_connections=settings.redis_pool_size,
        # The wait for a free connection is the same wait, seen from a request.
        timeout=SOCKET_TIMEOUT,
        socket_timeout=SOCKET_TIMEOUT,
        socket_connect_timeout=SOCKET_TIMEOUT,
        # The breaker decides when to try again; a retry of the library's would multiply the wait.
        retry=Retry(NoBackoff(), 0),
        username=settings.redis_username or None,
        password=password.get_secret_value() if password else None,
        # RESP2 needs no greeting, and the library's name is not worth a round trip per connection.
        protocol=2,
        driver_info=None,
        **where,
    )
    return Redis.from_pool(pool)


@asynccontextmanager
async def open_cache(settings: CacheSettings) -> AsyncIterator[RedisCache]:
    """The cache for the life of one worker; with an empty `redis_url` one that caches nothing.

    It connects at first use: a missing Redis delays no start.
    """
    cache = RedisCache(_client(settings) if settings.redis_url else None)
    try:
        yield cache
    finally:
        await cache.close()
