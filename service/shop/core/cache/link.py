"""The link to Redis: a circuit breaker, so that a Redis that is away or hangs costs a request nothing."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import structlog

from shop.core.metrics import metrics

if TYPE_CHECKING:
    from redis.asyncio import Redis

Result = TypeVar("Result")

PROBE_SECONDS_FIRST = 0.5
# Also the longest that a worker which missed an outage can serve what was changed during it: max-age.
PROBE_SECONDS_LONGEST = 5.0
# How long nothing is stored after Redis was full.
FULL_SECONDS = 1.0

log = structlog.get_logger("shop.cache")


@dataclass
class Counters:
    """What the cache did since this worker started."""

    hits: int = 0
    misses: int = 0
    errors: int = 0


class Link:
    """Runs commands while Redis answers; a background task asks until it does so again.

    A request meets a Redis that hangs at most once, for the socket's timeout. While the link is down nothing
    is sent: `call` returns the fallback.
    """

    def __init__(self, client: "Redis | None") -> None:
        self.client = client
        self.counters = Counters()
        self.status: Literal["off", "up", "full", "down"] = "off" if client is None else "up"
        self.reason: str | None = None
        # What has to happen before the cache is read again; set by RedisCache.
        self.on_return: Callable[[], Awaitable[None]] | None = None
        self._probing: asyncio.Task[None] | None = None
        self._stores_again_at = 0.0

    @property
    def is_usable(self) -> bool:
        """Whether commands are sent at present."""
        return self.client is not None and self.status != "down"

    @property
    def may_store(self) -> bool:
        """Whether Redis had room, or was full long enough ago."""
        return self.is_usable and asyncio.get_running_loop().time() >= self._stores_again_at

    async def call(self, command: Callable[["Redis"], Awaitable[Result]], fallback: Result) -> Result:
        """What `command` returns, `fallback` when Redis is away or refuses; never raises for Redis."""
        if self.client is None or self.status == "down":
            return fallback
        try:
            return await command(self.client)
        # A peer that speaks no Redis makes the parser raise anything, not RedisError alone.
        except Exception as error:
            await self._failed(error)
            return fallback

    async def store(self, command: Callable[["Redis"], Awaitable[Result]], fallback: Result) -> Result:
        """`call` for commands that need room in Redis; its success ends the status "full"."""
        if not self.may_store:
            return fallback
        errors = self.counters.errors
        result = await self.call(command, fallback)
        if errors == self.counters.errors and self.status == "full":
            self._change("up", None)
        return result

    def count_error(self, kind: str) -> None:
        """Count a failure: of "redis" itself, or of what a namespace held."""
        self.counters.errors += 1
        metrics().cache_errors_total.labels(kind).inc()

    async def _failed(self, error: Exception) -> None:
        from redis.exceptions import OutOfMemoryError

        self.count_error("redis")
        # The class alone: a message can quote what was sent.
        reason = type(error).__name__
        if isinstance(error, OutOfMemoryError):
            # It still answers and deletes. Any other refusal could be one to forget what has changed.
            self._stores_again_at = asyncio.get_running_loop().time() + FULL_SECONDS
            if self.status == "up":
                self._change("full", reason)
        elif self.status != "down":
            self._change("down", reason)
            # In an empty context: its log lines are no request's.
            self._probing = Context().run(asyncio.ensure_future, self._probe_until_it_answers())
            await self._drop_idle_connections()

    def _change(self, status: Literal["up", "full", "down"], reason: str | None) -> None:
        log.warning("cache_state_changed", before=self.status, now=status, reason=reason)
        self.status, self.reason = status, reason

    async def _drop_idle_connections(self) -> None:
        # They lead to the server that is gone, or hold half an answer.
        if self.client is not None:
            await asyncio.gather(
                self.client.connection_pool.disconnect(inuse_connections=False), return_exceptions=True
            )

    async def _answers(self) -> bool:
        if self.client is None:
            return False
        try:
            await self.client.ping()
            if self.on_return is not None:
                await self.on_return()
        except Exception:
            await self._drop_idle_connections()
            return False
        return True

    async def _probe_until_it_answers(self) -> None:
        pause = PROBE_SECONDS_FIRST
        while True:
            await asyncio.sleep(pause * random.uniform(0.8, 1.0))  # noqa: S311 - spreads the workers
            if await self._answers():
                self._change("up", None)
                return
            pause = min(pause * 2, PROBE_SECONDS_LONGEST)

    async def close(self) -> None:
        """End the probe and the connections."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        if self.client is not None:
            await asyncio.gather(self.client.aclose(), return_exceptions=True)
