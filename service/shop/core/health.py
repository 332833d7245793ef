"""Health: `/health/live` says that the process answers, `/health/ready` that it can do its work."""

import time
from dataclasses import dataclass

import anyio
import orjson
import structlog
from fastapi import APIRouter
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request
from starlette.responses import Response

from shop.core.database import sqlstate
from shop.core.errors import RETRY_AFTER, AppError, Problem
from shop.core.json_body import JSONRoute
from shop.core.schema import Revisions
from shop.core.transactions import reading

PROBE_TIMEOUT = 1.0
CACHE_SECONDS = 1.0
# From the revision that is applied back to the one this release needs; UNION ends even a circle.
APPLIED = text("""
WITH RECURSIVE applied AS (
    SELECT version_num FROM alembic_version
), way AS (
    SELECT c.revision, c.down_revision, c.kind, c.release
    FROM schema_changes AS c JOIN applied ON c.revision = applied.version_num
    UNION
    SELECT c.revision, c.down_revision, c.kind, c.release
    FROM way JOIN schema_changes AS c ON c.revision = way.down_revision
    WHERE way.revision <> :head
)
SELECT
    (SELECT version_num FROM applied) AS applied,
    coalesce(bool_or(revision = :head), false) AS comes_after_head,
    max(revision) FILTER (WHERE kind <> 'expand' AND revision <> :head) AS contracted_by,
    max(release) FILTER (WHERE kind <> 'expand' AND revision <> :head) AS contracted_in
FROM way
""")
NO_STORE = {"Cache-Control": "no-store"}
# undefined_table and invalid_schema_name; insufficient_privilege.
MISSING_STATES = ("42P01", "3F000")
FORBIDDEN_STATE = "42501"

log = structlog.get_logger("shop.health")
router = APIRouter(prefix="/health", tags=["health"], route_class=JSONRoute)


@dataclass(frozen=True)
class Applied:
    """What the database says of its schema; `contracted_by` is a revision that took away what head has."""

    revision: str | None = None
    comes_after_head: bool = False
    contracted_by: str | None = None
    contracted_in: str | None = None


@dataclass(frozen=True)
class Verdict:
    """Whether the service can work: `code` is "ready" or the reason why not, `message` the sentence."""

    code: str
    message: str
    applied: str | None


class Readiness:
    """Asks the database at most once a second per worker, however many ask the service."""

    def __init__(self, engine: AsyncEngine, revisions: Revisions, release: str) -> None:
        self.engine = engine
        self.revisions = revisions
        self.release = release
        self._flight = anyio.Lock()
        self._verdict = Verdict("unknown", "Not asked yet.", None)
        self._expires = 0.0

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

    async def _ask(self) -> Verdict:
        try:
            with anyio.fail_after(PROBE_TIMEOUT):
                async with reading(self.engine) as connection:
                    row = (await connection.execute(APPLIED, {"head": self.revisions.head})).one()
        except TimeoutError:
            message = f"The database did not answer within {PROBE_TIMEOUT:g} s."
            return Verdict("database_timeout", message, None)
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
        head, revision, needs = self.revisions.head, applied.revision, f"release {self.release} needs"
        if revision == head:
            code, state = "ready", f"on {head}, which this release needs."
        elif self.revisions.suffices(revision):
            code, state = "ready", f"on {revision}; what follows, up to {head}, only takes away."
        elif revision is None:
            code, state = "schema_missing", f"without a schema; {needs} {head}: run its shop migrate."
        elif revision in self.revisions.known:
            code = "schema_behind"
            state = f"on the earlier revision {revision}; {needs} {head}: run its shop migrate."
        elif not applied.comes_after_head:
            code = "schema_unknown"
            state = f"on revision {revision}, which is not known to come after what {needs}, {head}: "
            state += f"start the release that carries {revision}, or check SHOP_DATABASE_NAME."
        elif applied.contracted_by is not None:
            code = "schema_contracted"
            state = f"on revision {revision}, and {applied.contracted_by} took away what {needs} of {head}: "
            state += f"start release {applied.contracted_in} or a later one."
        else:
            code, state = "ready", f"on {revision}, which comes after {head} and takes nothing away."
        return Verdict(code, f"The database is {state}", revision)


@router.get("/live")
async def live(request: Request) -> Response:
    """The process answers; nothing else is asked."""
    release = request.app.state.readiness.release
    return Response(
        orjson.dumps({"status": "live", "release": release}), media_type="application/json", headers=NO_STORE
    )


@router.get("/ready", responses={503: {"model": Problem}})
async def ready(request: Request) -> Response:
    """The database answers and has the schema this release needs; otherwise 503 with the reason as `code`."""
    readiness: Readiness = request.app.state.readiness
    verdict = await readiness.verdict()
    facts = {
        "release": readiness.release,
        "schema_required": readiness.revisions.head,
        "schema_applied": verdict.applied,
    }
    if verdict.code != "ready":
        headers = {**NO_STORE, **RETRY_AFTER}
        raise AppError(503, verdict.code, verdict.message, headers=headers, extensions=facts)
    return Response(
        orjson.dumps({"status": "ready", **facts}), media_type="application/json", headers=NO_STORE
    )
