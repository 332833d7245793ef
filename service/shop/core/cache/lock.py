"""`RedisLock`: only one worker does a thing, when that saves work. Never where two would do harm."""

import secrets
from types import TracebackType
from typing import TYPE_CHECKING

from shop.core.cache.store import PREFIX, RedisCache

if TYPE_CHECKING:
    from redis.asyncio.lock import Lock


class LockNotAcquired(Exception):
    """Somebody else holds the lock, or Redis is away: the section did not run."""


class RedisLock:
    """A lock that ends by itself after `timeout` seconds; `async with` runs its section only with it.

    It is a courtesy: Redis may lose it at a restart, and a section longer than `timeout` shares it.
    """

    def __init__(self, cache: RedisCache, key: str, timeout: float = 10) -> None:
        self._link = cache.link
        self._name = f"{PREFIX}:lock:{key}"
        self._timeout = timeout
        self._lock: Lock | None = None

    async def acquire(self) -> bool:
        """Whether the lock is ours now; it is not waited for."""
        client = self._link.client
        if client is None:
            return False
        from redis.asyncio.lock import Lock

        # Not in thread-local storage: tasks share the thread.
        lock = Lock(client, self._name, timeout=self._timeout, blocking=False, thread_local=False)
        token = secrets.token_hex(16)
        acquired = await self._link.store(lambda _: lock.acquire(token=token), False)
        self._lock = lock if acquired else None
        return acquired

    async def release(self) -> None:
        """Give the lock back, if it is still ours."""
        lock, self._lock = self._lock, None
        if lock is None:
            return

        from redis.exceptions import LockError

        async def release(_: object) -> None:
            try:
                await lock.release()
            except LockError:
                # It ended by itself, and may be another's by now.
                return

        await self._link.call(release, None)

    async def __aenter__(self) -> "RedisLock":
        if not await self.acquire():
            raise LockNotAcquired(f"The lock {self._name} is held by another, or Redis is away.")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.release()
