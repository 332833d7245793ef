"""Readiness: whether the database answers and has the schema that this release needs."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import structlog
from slipway_migrator import APPLIED, Applied, Order, Verdict, judge, order_below
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from shop.core.database import sqlstate
from shop.core.errors import AppError
from shop.core.transactions import reading

# Below the five seconds of whoever asks; a packet that is lost on the way costs up to one.
PROBE_TIMEOUT = 3.0
# A first connection to a database that is 300 ms away takes some six.
QUESTION_TIMEOUT = 15.0
CACHE_SECONDS = 1.0
# undefined_table and invalid_schema_name; insufficient_privilege.
MISSING_STATES = ("42P01", "3F000")
FORBIDDEN_STATE = "42501"

log = structlog.get_logger("shop.health")


def migrations_directory() -> Path:
    """The folder with env.py: inside the installed package, beside the package in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def revisions() -> Order:
    """What this release needs of the schema. Raises MigrationError when its revisions are not in one row."""
    return order_below(migrations_directory())


def _silent(seconds: float) -> Verdict:
    return Verdict("database_timeout", f"The database did not answer within {seconds:g} s.", None)


class Readiness:
    """Asks the database at most once a second per worker, however many ask the service."""

    def __init__(self, engine: AsyncEngine, revisions: Order, release: str) -> None:
        self.engine = engine
        self.revisions = revisions
        self.release = release
        self._flight = anyio.Lock()
        self._verdict = Verdict("unknown", "Not asked yet.", None)
        self._expires = 0.0
        self._question: asyncio.Task[Verdict] | None = None

    async def verdict(self) -> Verdict:
        """The verdict, at most a second old; callers that come together share one question."""
        async with self._flight:
            if time.monotonic() >= self._expires:
                verdict = await self._ask()
                if verdict.code != self._verdict.code:
                    log.info("readiness_changed", before=self._verdict.code, now=verdict.code)
                self._verdict = verdict
                self._expires = time.monotonic() + CACHE_SECONDS
        return self._verdict

    @asynccontextmanager
    async def asked(self) -> AsyncIterator[None]:
        """Ask once before the first request, which has a connection then, if one is made in time."""
        self._question = asyncio.create_task(self._applied())
        await asyncio.wait({self._question}, timeout=PROBE_TIMEOUT)
        try:
            yield
        finally:
            self._question.cancel()

    async def _ask(self) -> Verdict:
        """One that takes longer than a probe goes on, and the next probe waits for it or has its connection.

        A connection that is given up half made would be begun again for ever.
        """
        if self._question is None or self._question.done():
            self._question = asyncio.create_task(self._applied())
        answered, _ = await asyncio.wait({self._question}, timeout=PROBE_TIMEOUT)
        return self._question.result() if answered else _silent(PROBE_TIMEOUT)

    async def _applied(self) -> Verdict:
        try:
            with anyio.fail_after(QUESTION_TIMEOUT):
                async with reading(self.engine) as connection:
                    row = (await connection.execute(APPLIED, {"head": self.revisions.head})).one()
        except TimeoutError:
            return _silent(QUESTION_TIMEOUT)
        except AppError as error:
            return Verdict(error.code, error.message, None)
        except DBAPIError as error:
            return self._unreadable(error)
        return self._compare(Applied(*row))

    def _unreadable(self, error: DBAPIError) -> Verdict:
        state = sqlstate(error)
        if state in MISSING_STATES:
            return self._compare(Applied())
        if state == FORBIDDEN_STATE:
            message = "The service's role may not read alembic_version and schema_changes: grant it SELECT."
            return Verdict("schema_forbidden", message, None)
        log.error("readiness_failed", sqlstate=state, exc_info=error)
        return Verdict("database_error", f"The database refused the question with SQLSTATE {state}.", None)

    def _compare(self, applied: Applied) -> Verdict:
        return judge(self.revisions, self.release, applied)
