"""Health: live and ready for probes, a summary for people, the pool, and a deep look for admins."""

import shutil
from typing import Any, Literal

import orjson
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shop.core.cache import cache_of
from shop.core.container import container_of
from shop.core.database import resources_of
from shop.core.errors import RETRY_AFTER, AppError
from shop.core.health import Readiness
from shop.core.lag import Lag
from shop.core.needs import shared_directory
from shop.core.pool import PoolFacts, pool_facts
from shop.core.principal import AdminUser
from shop.core.routing import BareRoute, api_router, problems
from shop.operations.monitor import DatabaseMonitor

State = Literal["healthy", "unhealthy"]

NO_STORE = {"Cache-Control": "no-store"}

router = api_router("/health", "health")


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


async def live(request: Request) -> Response:
    """The process answers; nothing else is asked."""
    body = orjson.dumps({"status": "live", "release": request.app.version})
    return Response(body, media_type="application/json", headers=NO_STORE)


# What is asked most of all, and reads nothing of the request.
router.add_api_route("/live", live, methods=["GET"], route_class_override=BareRoute)


@router.get("/ready", responses=problems(503))
async def ready(request: Request) -> Response:
    """The database answers and has the schema this release needs; otherwise 503 with the reason as `code`."""
    readiness = container_of(request).get(Readiness)
    verdict = await readiness.verdict()
    facts = {
        "release": readiness.release,
        "schema_required": readiness.revisions.head,
        "schema_applied": verdict.applied,
    }
    if verdict.code != "ready":
        headers = {**NO_STORE, **RETRY_AFTER}
        raise AppError(503, verdict.code, verdict.message, headers=headers, extensions=facts)
    body = orjson.dumps({"status": "ready", **facts})
    return Response(body, media_type="application/json", headers=NO_STORE)


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
    code = (await container_of(request).get(Readiness).verdict()).code
    health = Health(status=_status(code), db=_db(code), redis=_redis(request))
    return _answer(health, health.status)


@router.get("/db", response_model=DatabaseHealth, responses={503: {"model": DatabaseHealth}})
async def database(request: Request) -> Response:
    """The connections of the worker that answers; `waiters` are requests that wait for one."""
    code = (await container_of(request).get(Readiness).verdict()).code
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
    responses={**problems(401, 403, 429), 503: {"model": DeepHealth}},
)
async def deep(request: Request, _: AdminUser) -> Response:
    """For admins: database, cache, pool, event loop, schema and disk, as the answering worker sees them."""
    container = container_of(request)
    readiness, lag = container.get(Readiness), container.get(Lag)
    verdict = await readiness.verdict()
    told = await container.get(DatabaseMonitor).collect_metrics()
    health = DeepHealth(
        status=_status(verdict.code),
        database={"state": verdict.code, "message": verdict.message, **told},
        cache=cache_of(request).state(),
        pool=pool_facts(resources_of(request).reads),
        event_loop={"lag_seconds": lag.latest, "worst_lag_seconds": lag.worst},
        db_schema={"required": readiness.revisions.head, "applied": verdict.applied},
        disk=_disk(),
    )
    return _answer(health, health.status)
