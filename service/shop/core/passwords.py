"""Passwords: argon2id (RFC 9106), hashed in threads of their own so that no other request waits for them."""

import base64
import os
import secrets
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from anyio import CapacityLimiter, Semaphore, to_thread
from argon2 import Type, extract_parameters
from argon2.exceptions import InvalidHashError
from argon2.low_level import hash_secret_raw
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from shop.core.errors import RETRY_AFTER, AppError
from shop.settings import WORKER_MIB, Settings

SHORTEST_PASSWORD = 8
LONGEST_PASSWORD = 256
SALT_BYTES = 16
DIGEST_BYTES = 32
LEAST_KIB = 8
# At 0.2 s a hash and two at once, whoever came after this many would wait longer than a client does.
LONGEST_QUEUE = 64
# Registrations wait for each other, and one of them at a time in the queue of logins.
LONGEST_REGISTRATION_QUEUE = 16


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode().rstrip("=")


def _prepared(password: str) -> str:
    # NIST SP 800-63B, 3.1.1.2: two keyboards may write the same character as different code points.
    return unicodedata.normalize("NFKC", password)


def hashes_at_once(settings: Settings, cores: int) -> int:
    """How many hashes a worker makes at once: all together no more than cores, and than the memory holds."""
    fitting = [cores // settings.workers]
    if settings.memory_limit is not None:
        free_kib = 1024 * (settings.memory_limit // settings.workers - WORKER_MIB)
        fitting.append(free_kib // settings.password_memory_kib)
    return max(1, min(fitting))


def _cost(hashed: str) -> int | None:
    """What verifying takes, in KiB filled times passes; None for what is no argon2 hash."""
    try:
        parameters = extract_parameters(hashed)
    except InvalidHashError:
        return None
    return parameters.memory_cost * parameters.time_cost


class Passwords:
    """Hashes and verifies, `at_once` at the same time.

    `memory_kib` (KiB) and `iterations` are what one hash takes. A hash has one lane: the cores are shared out
    between requests, not within one.
    """

    def __init__(self, memory_kib: int, iterations: int, at_once: int = 1) -> None:
        argon2id = Argon2Hasher(
            time_cost=iterations,
            memory_cost=memory_kib,
            parallelism=1,
            salt_len=SALT_BYTES,
            hash_len=DIGEST_BYTES,
        )
        self._hasher = PasswordHash((argon2id,))
        # Random bytes in place of a digest: nothing verifies against it, and trying costs the same.
        salt, digest = (_encoded(secrets.token_bytes(size)) for size in (SALT_BYTES, DIGEST_BYTES))
        self._nobodys = f"$argon2id$v=19$m={memory_kib},t={iterations},p=1${salt}${digest}"
        self._memory_kib = memory_kib
        self._dearest = memory_kib * iterations
        self._turns = Semaphore(at_once)
        self._registrations = Semaphore(1)
        self._threads = CapacityLimiter(at_once)

    @classmethod
    def of(cls, settings: Settings) -> "Passwords":
        """The passwords of a service with `settings`."""
        at_once = hashes_at_once(settings, len(os.sched_getaffinity(0)))
        return cls(settings.password_memory_kib, settings.password_iterations, at_once)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._turns.statistics().tasks_waiting >= LONGEST_QUEUE:
            message = "Too many are logging in now. Try again shortly."
            raise AppError(503, "passwords_busy", message, headers=RETRY_AFTER)
        async with self._turns:
            yield

    async def hash(self, password: str) -> str:
        """The encoded hash to store.

        Raises AppError 503 `registrations_busy` when too many wait already, and `passwords_busy`.
        """
        if self._registrations.statistics().tasks_waiting >= LONGEST_REGISTRATION_QUEUE:
            message = "Too many are registering now. Try again shortly."
            raise AppError(503, "registrations_busy", message, headers=RETRY_AFTER)
        async with self._registrations, self._turn():
            return await to_thread.run_sync(self._hasher.hash, _prepared(password), limiter=self._threads)

    async def verify(
        self, password: str, hashed: str | None, admit: Callable[[], Awaitable[None]]
    ) -> tuple[bool, str | None]:
        """Whether `hashed` was made from `password`, and a new hash if its parameters are not today's.

        None for `hashed` (nobody has this name), or what is no argon2 hash (a user without a password), is
        False. What is False costs the same for everybody: as much as today's parameters do, or as the dearest
        hash that this worker met. `admit` is awaited when the turn has come: what it raises ends the attempt
        before it costs anything.
        Raises AppError 503 `passwords_busy` when too many wait already.
        """
        if hashed is None or _cost(hashed) is None:
            hashed = self._nobodys
        async with self._turn():
            await admit()
            return await to_thread.run_sync(self._check, _prepared(password), hashed, limiter=self._threads)

    def _check(self, password: str, hashed: str) -> tuple[bool, str | None]:
        cost = _cost(hashed) or 0
        self._dearest = max(self._dearest, cost)
        valid, rehashed = self._hasher.verify_and_update(password, hashed)
        if not valid:
            self._spend(self._dearest - cost)
        return valid, rehashed

    def _spend(self, cost: int) -> None:
        """Compute for nothing, in no more memory than a hash of today takes."""
        passes, rest_kib = divmod(cost, self._memory_kib)
        for memory_kib, times in ((self._memory_kib, passes), (rest_kib, 1)):
            if times and memory_kib >= LEAST_KIB:
                salt = bytes(SALT_BYTES)
                hash_secret_raw(b"", salt, times, memory_kib, 1, DIGEST_BYTES, Type.ID)
