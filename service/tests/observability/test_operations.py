"""What operators ask the service: health, the pool, the event loop, the database, plans."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx2
import pytest
import structlog
import uvloop

from conftest import SECRET_KEY, Database, Serve
from shop.core.database import create_engine
from shop.core.lag import Lag, lag_probe
from shop.core.pool import pool_facts
from shop.core.principal import Authenticator, Principal
from shop.main import create_app
from shop.operations.debug import QUERIES
from shop.operations.monitor import DatabaseMonitor

pytestmark = [pytest.mark.anyio, pytest.mark.differs("the statistics views are the server's")]
ADMIN = Principal(user_id=uuid.UUID(int=1), role="admin")
USER = Principal(user_id=uuid.UUID(int=2), role="user")


class Known(Authenticator):
    """An authenticator for which everybody is `principal`."""

    def __init__(self, principal: Principal) -> None:
        self.principal = principal

    async def authenticate(self, request: object) -> Principal:
        return self.principal


@pytest.fixture
def database(shared_database: Database) -> Database:
    """No test of this file changes anything in it."""
    return shared_database


async def as_principal(database: Database, principal: Principal) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(database.settings())
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://shop.test") as client,
    ):
        app.state.container.put(Known(principal))
        yield client


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[httpx2.AsyncClient]:
    async for client in as_principal(database, ADMIN):
        yield client


@pytest.fixture
async def user(database: Database) -> AsyncIterator[httpx2.AsyncClient]:
    async for client in as_principal(database, USER):
        yield client


async def test_health_sums_up(client: httpx2.AsyncClient) -> None:
    response = await client.get("/health")
    assert (response.status_code, response.json()) == (
        200,
        {"status": "healthy", "db": "healthy", "redis": "off"},
    )
    assert response.headers["cache-control"] == "no-store"


async def test_health_is_503_without_the_database_and_says_nothing_of_the_inside(
    database: Database, serve: Serve
) -> None:
    async with serve(database.settings(database_host="/nonexistent")) as client:
        response = await client.get("/health")
        pool = await client.get("/health/db")
    assert (response.status_code, response.json()["db"]) == (503, "unhealthy")
    assert response.json()["status"] == "unhealthy"
    assert "nonexistent" not in response.text + pool.text
    assert pool.status_code == 503


async def test_a_redis_that_is_away_makes_the_service_slower_not_unhealthy(
    database: Database, serve: Serve
) -> None:
    async with serve(database.settings(redis_url="unix:///nonexistent/redis.sock")) as client:
        with anyio.fail_after(5):
            while (await client.get("/health")).json()["redis"] != "unhealthy":
                await client.get("/api/v1/products/categories")
                await anyio.sleep(0.05)
        response = await client.get("/health")
    assert (response.status_code, response.json()["status"]) == (200, "healthy")


async def test_the_pool_is_told_by_the_names_that_were_asked_for(client: httpx2.AsyncClient) -> None:
    body = (await client.get("/health/db")).json()
    assert body == {
        "db": "healthy",
        "checked_out": 0,
        "checked_in": 1,
        "overflow": 0,
        "size": 2,
        "waiters": 0,
    }


async def test_who_waits_for_a_connection_is_counted(database: Database) -> None:
    engine = create_engine(database.settings(database_pool_size=1, database_max_overflow=0))
    try:
        async with engine.connect(), anyio.create_task_group() as group:

            async def wait() -> None:
                async with engine.connect():
                    pass

            for _ in range(3):
                group.start_soon(wait)
            await anyio.sleep(0.1)
            facts = pool_facts(engine)
            assert (facts.waiters, facts.checked_out, facts.overflow) == (3, 1, 0)
            group.cancel_scope.cancel()
        assert pool_facts(engine).waiters == 0
    finally:
        await engine.dispose()


async def test_deep_health_is_for_admins(
    client: httpx2.AsyncClient, user: httpx2.AsyncClient, admin: httpx2.AsyncClient
) -> None:
    assert (await client.get("/health/deep")).status_code == 401
    assert (await user.get("/health/deep")).status_code == 403
    response = await admin.get("/health/deep")
    assert response.status_code == 200, response.text
    body = response.json()
    assert body["database"]["database_size_bytes"] > 0
    assert body["pool"]["size"] == 2
    assert body["db_schema"]["required"] == body["db_schema"]["applied"]
    assert body["cache"]["status"] == "off"
    assert body["event_loop"]["lag_seconds"] >= 0
    assert all(place["free_bytes"] > 0 for place in body["disk"])
    assert SECRET_KEY not in response.text


async def test_the_monitor_asks_the_database_once_in_fifteen_seconds(database: Database) -> None:
    engine = create_engine(database.settings())
    try:
        monitor = DatabaseMonitor(engine)
        first = await monitor.collect_metrics()
        assert first["database_connections_total"] >= 1
        assert isinstance(first["database_longest_running_seconds"], float)
        assert {table["table_name"] for table in first["database_tables_top_10"]} <= {
            row["relname"]
            for row in await database.fetch("SELECT relname FROM pg_class WHERE relkind IN ('r', 'p')")
        }
        assert json.dumps(first), "the numbers cannot be told as JSON"
        assert await monitor.collect_metrics() is first
    finally:
        await engine.dispose()


async def test_an_idle_session_is_no_long_statement(database: Database) -> None:
    connection = await database.cluster.connect(database.name)
    engine = create_engine(database.settings())
    try:
        await connection.execute("SELECT 1")
        await anyio.sleep(1.5)
        found = await DatabaseMonitor(engine).collect_metrics()
        assert found["database_longest_running_seconds"] < 1.2
    finally:
        await connection.close()
        await engine.dispose()


async def test_the_monitor_without_a_database_says_so_and_raises_nothing(database: Database) -> None:
    engine = create_engine(database.settings(database_host="/nonexistent"))
    monitor = DatabaseMonitor(engine)
    assert await monitor.collect_metrics() == {}
    up = next(iter(monitor.collect()))
    assert (up.name, up.samples[0].value) == ("database_up", 0)
    await engine.dispose()


@pytest.mark.parametrize("name", sorted(QUERIES))
async def test_a_known_query_is_explained_and_not_run(admin: httpx2.AsyncClient, name: str) -> None:
    response = await admin.get(f"/debug/explain/{name}")
    assert response.status_code == 200, response.text
    plan = response.json()["plan"][0]["Plan"]
    assert "Node Type" in plan
    assert "Actual Rows" not in plan


async def test_no_other_query_is_explained(admin: httpx2.AsyncClient) -> None:
    response = await admin.get("/debug/explain/SELECT%20pg_sleep(10)")
    assert (response.status_code, response.json()["code"]) == (404, "query_unknown")


async def test_the_process_tells_its_numbers(admin: httpx2.AsyncClient) -> None:
    body = (await admin.get("/debug/process")).json()
    assert body["rss"] > 10_000_000
    assert body["threads"] >= 1
    assert body["uptime"] > 0


async def test_debug_is_for_admins(client: httpx2.AsyncClient, user: httpx2.AsyncClient) -> None:
    assert (await client.get("/debug/process")).status_code == 401
    assert (await user.get("/debug/process")).status_code == 403


@pytest.mark.parametrize("environment", ["staging", "production"])
async def test_debug_does_not_exist_in_production(database: Database, serve: Serve, environment: str) -> None:
    settings = database.settings(environment=environment)
    paths = {str(getattr(route, "path", "")) for route in create_app(settings).routes}
    assert not [path for path in paths if "debug" in path]
    async with serve(settings) as client:
        for path in ("/debug/process", "/debug/explain/product-by-id"):
            assert (await client.get(path)).status_code == 404


def measured(loop: Any, work: Any) -> list[float]:
    lags: list[float] = []

    async def main() -> None:
        probe = asyncio.ensure_future(lag_probe(0.01, 50, lags.append))
        await work()
        probe.cancel()

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    return lags


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_three_hundred_idle_ticks_are_no_lag(new_loop: Any) -> None:
    async def idle() -> None:
        await asyncio.sleep(3.5)

    lags = measured(new_loop(), idle)
    assert len(lags) > 200
    # A schedule kept beside the sleeps would have drifted to more than 100 ms by now.
    assert sorted(lags)[len(lags) // 2] < 0.09


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_loop_that_was_blocked_is_told_and_warned_of(new_loop: Any) -> None:
    async def block() -> None:
        await asyncio.sleep(0.05)
        time.sleep(0.2)  # noqa: ASYNC251 - the fault that is to be found
        await asyncio.sleep(0.05)

    with structlog.testing.capture_logs() as warnings:
        lags = measured(new_loop(), block)
    assert 0.15 < max(lags) < 1
    assert [event for event in warnings if event["event"] == "event_loop_lag" and event["lag_ms"] > 150]


def test_the_worst_lag_of_the_last_minute_is_remembered() -> None:
    lag = Lag()
    assert (lag.latest, lag.worst) == (0, 0)
    for seconds in (0.1, 0.5, 0.2):
        lag.add(seconds)
    assert (lag.latest, lag.worst) == (0.2, 0.5)
