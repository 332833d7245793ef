"""`RedisCache`: JSON values in namespaces, each of which one command makes forgotten.

A namespace has a token, a random word in a key of its own, and every entry carries the token that was read
before its value was loaded. An entry counts only while its token is the namespace's: to forget a namespace is
to delete its token, whatever the number of entries. A value that was read from the database before another
transaction committed, and stored after it, carries the token from before and is never served.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from random import uniform
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog
from starlette.requests import Request

from shop.core.cache.link import Counters, Link
from shop.core.container import container_of
from shop.core.metrics import metrics

if TYPE_CHECKING:
    from redis.asyncio import Redis

# Raise it when what entries look like changes; what an older release stored is then not found.
FORMAT = 1
PREFIX = f"shop:{FORMAT}"
DEFAULT_EXPIRE = 3600
# Entries of one moment must not end in one moment: each lives 90 to 100 % of its time.
SHORTEST_LIFE = 0.9
TOKEN = re.compile(rb"[0-9a-f]{16}")

log = structlog.get_logger("shop.cache")


class _Miss:
    """The type of MISS, which is not None: None is a value like any other."""

    def __repr__(self) -> str:
        return "MISS"


MISS: Final = _Miss()


@dataclass(frozen=True)
class Found:
    """What a look-up brought: the `value` or MISS, the namespace's `token` ("" when unknown).

    `expires` is the Unix time at which the entry ends, `cost` the seconds that its loading took.
    """

    value: Any
    token: str
    expires: float = 0.0
    cost: float = 0.0


class RedisCache:
    """A cache that loses what it holds at any time and never fails: without Redis everything is a miss.

    `client` None means no cache: nothing is counted or logged.
    """

    def __init__(self, client: "Redis | None") -> None:
        self.link = Link(client)
        self.link.on_return = self._forget_what_was_missed
        self._namespaces: set[str] = set()
        self._background: set[asyncio.Task[Any]] = set()
        # Loads under way: cached() joins them.
        self.flights: dict[tuple[str, str, str], asyncio.Task[Any]] = {}

    @property
    def is_on(self) -> bool:
        """Whether a Redis is configured, be it there or not."""
        return self.link.client is not None

    @property
    def counters(self) -> Counters:
        """Hits, misses and errors of this worker."""
        return self.link.counters

    def state(self) -> dict[str, Any]:
        """For /health/deep: status off, up, full (stores nothing) or down, the reason, the counters."""
        counters = self.counters
        return {
            "status": self.link.status,
            "reason": self.link.reason,
            "hits": counters.hits,
            "misses": counters.misses,
            "errors": counters.errors,
        }

    async def get(self, namespace: str, key: str) -> Any:
        """The value stored under `key`, or MISS."""
        return (await self.look_up(namespace, key)).value

    async def look_up(self, namespace: str, key: str) -> Found:
        """The entry and the token to store another one with: one round trip, two more without a token.

        The token is had before the value is loaded, which is what makes a late store harmless. It is "" when
        Redis is away or full: nothing can be stored then.
        """
        self._namespaces.add(namespace)
        found = await self._read(namespace, key)
        if not found.token and self.link.may_store:
            token, name = secrets.token_hex(8), _token_name(namespace)
            made = await self.link.store(lambda client: client.set(name, token, nx=True), None)
            found = Found(MISS, token) if made else await self._read(namespace, key)
        if self.is_on:
            self._count(namespace, found)
        return found

    def _count(self, namespace: str, found: Found) -> None:
        if found.value is MISS:
            self.counters.misses += 1
            metrics().cache_misses_total.labels(namespace).inc()
        else:
            self.counters.hits += 1
            metrics().cache_hits_total.labels(namespace).inc()

    async def _read(self, namespace: str, key: str) -> Found:
        names = [_token_name(namespace), _entry_name(namespace, key)]
        answer: Any = await self.link.call(lambda client: client.mget(names), None)
        if answer is None:
            return Found(MISS, "")
        try:
            token, entry = answer
            if token is None:
                return Found(MISS, "")
            if not TOKEN.fullmatch(token):
                raise ValueError(f"{names[0]} holds no token")
        except (ValueError, TypeError):
            self.link.count_error(namespace)
            await self.clear(namespace)
            return Found(MISS, "")
        return self._decode(namespace, names[1], token.decode(), entry)

    def _decode(self, namespace: str, name: str, token: str, entry: bytes | None) -> Found:
        missing = Found(MISS, token)
        if entry is None:
            return missing
        try:
            fields = orjson.loads(entry)
            # The name guards against an answer to somebody else's question.
            if fields["name"] != name or fields["token"] != token:
                return missing
            return Found(fields["value"], token, float(fields["expires"]), float(fields["cost"]))
        except (ValueError, KeyError, TypeError):
            self.link.count_error(namespace)
            return missing

    async def set(
        self,
        namespace: str,
        key: str,
        value: Any,
        expire: float = DEFAULT_EXPIRE,
        *,
        token: str,
        cost: float = 0.0,
    ) -> None:
        """Store `value` for `expire` seconds at most, with the `token` that was had before it was read.

        Raises TypeError for a value that JSON cannot express, such as a Decimal.
        """
        name = _entry_name(namespace, key)
        life = expire * uniform(SHORTEST_LIFE, 1)  # noqa: S311 - spreads the ends, guards nothing
        entry = orjson.dumps(
            {"name": name, "token": token, "expires": time.time() + life, "cost": cost, "value": value}
        )
        if token:
            await self.link.store(lambda client: client.set(name, entry, px=max(1, int(life * 1000))), None)

    async def delete(self, namespace: str, key: str) -> None:
        """Forget one entry. A load that is under way may store it again: after a commit use clear."""
        await self.link.call(lambda client: client.delete(_entry_name(namespace, key)), 0)

    async def clear(self, *namespaces: str) -> None:
        """Forget everything in `namespaces`, loads under way included. Call it after the commit.

        While Redis is away nothing is read from it either; this worker forgets them when it returns.
        """
        self._namespaces.update(namespaces)
        for flight in [flight for flight in self.flights if flight[0] in namespaces]:
            # Who asks from now on must not join a load that began before the commit.
            del self.flights[flight]
        names = [_token_name(namespace) for namespace in namespaces]
        # Deleting needs no room: it works when Redis is full.
        await self.link.call(lambda client: client.delete(*names), 0)

    async def _forget_what_was_missed(self) -> None:
        # Others may have committed while Redis was away and could not say so: trust nothing from before.
        if self.link.client is not None and self._namespaces:
            await self.link.client.delete(*map(_token_name, self._namespaces))

    def in_background(self, work: Awaitable[None]) -> None:
        """Run `work` beside the requests; it ends with the cache at the latest, its failure in the log."""
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: "asyncio.Task[Any]") -> None:
        self._background.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.warning("cache_refresh_failed", reason=type(error).__name__)

    async def close(self) -> None:
        """End what runs in the background, then the connections."""
        tasks = [*self._background, *self.flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.link.close()


def _token_name(namespace: str) -> str:
    return f"{PREFIX}:{namespace}:token"


def _entry_name(namespace: str, key: str) -> str:
    return f"{PREFIX}:{namespace}:entry:{key}"


def cache_of(request: Request) -> RedisCache:
    """The cache of the application that serves `request`."""
    return container_of(request).get(RedisCache)
