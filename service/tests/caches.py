"""Fixtures of the cache: a Redis, the caches of two workers on it."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import structlog
from redis.asyncio import Redis

from redis_server import RedisServer
from shop.core.cache import RedisCache, connection, link, open_cache, store
from shop.settings.cache import CacheSettings


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A Redis of this test alone, running and empty."""
    server = RedisServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def cache_events(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the cache logs during this test, one mapping an event."""
    capture = structlog.testing.LogCapture()
    log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[capture])
    for module in (link, store):
        monkeypatch.setattr(module, "log", log)
    return capture.entries


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no outage in this test: Redis may take its time."""
    monkeypatch.setattr(connection, "SOCKET_TIMEOUT", 10.0)


@pytest.fixture
async def cache(redis: RedisServer) -> AsyncIterator[RedisCache]:
    """The cache of one worker."""
    async with open_cache(CacheSettings(redis_url=redis.url)) as cache:
        yield cache


@pytest.fixture
async def other(redis: RedisServer) -> AsyncIterator[RedisCache]:
    """The cache of another worker on the same Redis."""
    async with open_cache(CacheSettings(redis_url=redis.url)) as cache:
        yield cache


@pytest.fixture
async def bare(redis: RedisServer) -> "AsyncIterator[Redis]":
    """A connection to the same Redis, for what only somebody else would do."""
    async with Redis(unix_socket_path=str(redis.socket)) as client:
        yield client
