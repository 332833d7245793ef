"""Health beyond live and ready: a summary for people, the pool, and a deep look for admins."""

import shutil
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shop.core.cache import cache_of
from shop.core.database import resources_of
from shop.core.errors import Problem
from shop.core.health import NO_STORE, Readiness
from shop.core.json_body import JSONRoute
from shop.core.needs import shared_directory
from shop.core.pool import PoolFacts, pool_facts
from shop.core.principal import AdminUser

State = Literal["healthy", "unhealthy"]

router = APIRouter(prefix="/health", tags=["health"], route_class=JSONRoute)


class Health(BaseModel):
    """The summary; without Redis the service is slower, not unhealthy."""

    status: State
    db: State
    redis: Literal["healthy", "unhealthy", "off"]


class DatabaseHealth(PoolFacts):
    """The pool of the worker that answered, and whether it can work with the database."""

    db: State


class DeepHealth(BaseModel):
    """Everything that explains a service that is unwell."""

    status: State
    database: dict[str, Any]
    cache: dict[str, Any]
    pool: PoolFacts
    event_loop: dict[str, float]
    db_schema: dict[str, str | None]
    disk: list[dict[str, Any]]


async def _database(request: Request) -> tuple[str, str, str | None]:
    readiness: Readiness = request.app.state.readiness
    verdict = await readiness.verdict()
    return verdict.code, verdict.message, verdict.applied


def _db(code: str) -> State:
    return "unhealthy" if code.startswith("database_") else "healthy"


def _status(code: str) -> State:
    return "healthy" if code == "ready" else "unhealthy"


def _redis(request: Request) -> Literal["healthy", "unhealthy", "off"]:
    cache = cache_of(request)
    if not cache.is_on:
        return "off"
    return "healthy" if cache.state()["status"] == "up" else "unhealthy"


def _answer(model: BaseModel, state: State) -> Response:
    return JSONResponse(model.model_dump(), 200 if state == "healthy" else 503, headers=NO_STORE)


@router.get("", response_model=Health, responses={503: {"model": Health}})
async def summary(request: Request) -> Response:
    """Whether the service, its database and its cache are healthy; 503 when the service is not."""
    code, _, _ = await _database(request)
    health = Health(status=_status(code), db=_db(code), redis=_redis(request))
    return _answer(health, health.status)


@router.get("/db", response_model=DatabaseHealth, responses={503: {"model": DatabaseHealth}})
async def database(request: Request) -> Response:
    """The connections of the worker that answers; `waiters` are requests that wait for one."""
    code, _, _ = await _database(request)
    health = DatabaseHealth(db=_db(code), **pool_facts(resources_of(request).reads).model_dump())
    return _answer(health, health.db)


def _disk() -> list[dict[str, Any]]:
    places = [place for place in ("/", "/run", shared_directory()) if place]
    facts = []
    for place in places:
        usage = shutil.disk_usage(place)
        facts.append(
            {"path": place, "free_bytes": usage.free, "free_percent": 100 * usage.free // usage.total}
        )
    return facts


@router.get(
    "/deep",
    response_model=DeepHealth,
    responses={
        401: {"model": Problem},
        403: {"model": Problem},
        429: {"model": Problem},
        503: {"model": DeepHealth},
    },
)
async def deep(request: Request, _: AdminUser) -> Response:
    """For admins: database, cache, pool, event loop, schema and disk, as the answering worker sees them."""
    code, message, applied = await _database(request)
    state = request.app.state
    health = DeepHealth(
        status=_status(code),
        database={"state": code, "message": message, **await state.monitor.collect_metrics()},
        cache=cache_of(request).state(),
        pool=pool_facts(resources_of(request).reads),
        event_loop={"lag_seconds": state.lag.latest, "worst_lag_seconds": state.lag.worst},
        db_schema={"required": state.readiness.revisions.head, "applied": applied},
        disk=_disk(),
    )
    return _answer(health, health.status)
