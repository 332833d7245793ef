"""What the articles say of logs, metrics and health and is not so; each test names the article and item."""

import ast
import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import prometheus_client
import pydantic
import pytest
import structlog
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from conftest import SERVICE, Database, Serve
from shop.core.database import create_engine
from shop.core.metrics import DURATION_BUCKETS, Metrics
from shop.core.pool import pool_facts
from shop.core.process import process_facts
from shop.main import create_app
from shop.operations.monitor import DatabaseMonitor

pytestmark = pytest.mark.anyio
PACKAGE = sorted((SERVICE / "shop").rglob("*.py"))


@pytest.fixture
def database(shared_database: Database) -> Database:
    """No test of this file changes anything in it."""
    return shared_database


def imported(path: Path) -> set[str]:
    """Every module and name that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or ""} | {alias.name for alias in node.names}
    return names


async def test_the_second_articles_table_statistics_have_no_such_column_item_40(database: Database) -> None:
    """S1, item 40: `tablename`, a column that the statistics do not have."""
    engine = create_engine(database.settings())
    try:
        async with engine.connect() as connection:
            with pytest.raises(ProgrammingError, match="tablename"):
                await connection.execute(text("SELECT tablename FROM pg_stat_user_tables"))
            row = (await connection.execute(text("SELECT 1 AS one"))).one()
            with pytest.raises((TypeError, ValueError)):
                dict(row)
        found = await DatabaseMonitor(engine).collect_metrics()
        assert found["database_tables_top_10"][0].keys() >= {"table_name", "live_rows"}
        assert isinstance(found["database_longest_running_seconds"], float)
    finally:
        await engine.dispose()


async def test_the_first_articles_explain_address_is_swallowed_and_runs_what_it_explains_item_42(
    database: Database, client: httpx2.AsyncClient
) -> None:
    """S0, item 42: an open EXPLAIN that executes, behind an address that another one takes."""
    await database.execute("CREATE SEQUENCE IF NOT EXISTS shop.explained")
    before = await database.fetch("SELECT last_value, is_called FROM shop.explained")
    await database.fetch("EXPLAIN SELECT nextval('shop.explained')")
    assert await database.fetch("SELECT last_value, is_called FROM shop.explained") == before
    await database.fetch("EXPLAIN (ANALYZE) SELECT nextval('shop.explained')")
    assert await database.fetch("SELECT last_value, is_called FROM shop.explained") != before
    source = (SERVICE / "shop/operations/debug.py").read_text()
    assert "EXPLAIN (FORMAT JSON)" in source
    assert "ANALYZE" not in source
    assert (await client.get("/debug/explain/product-by-id")).status_code == 401
    await database.execute("DROP SEQUENCE shop.explained")


async def test_code_after_a_yield_does_not_run_after_an_error_item_52() -> None:
    """S2, item 52: "code after yield always runs"."""
    cleaned: list[str] = []

    @asynccontextmanager
    async def as_the_third_article_says() -> AsyncIterator[None]:
        yield
        cleaned.append("after the yield")

    @asynccontextmanager
    async def as_it_has_to_be() -> AsyncIterator[None]:
        try:
            yield
        finally:
            cleaned.append("in finally")

    for resource in (as_the_third_article_says, as_it_has_to_be):
        with suppress(ValueError):
            async with resource():
                raise ValueError
    assert cleaned == ["in finally"]


async def test_reading_the_process_holds_up_no_loop_item_54_and_80() -> None:
    """S1, S2 and S3, item 54; S1, item 80: blocking calls in coroutines, `psutil` among them."""
    elapsed = []
    for _ in range(5):
        start = time.perf_counter()
        facts = process_facts(os.getpid())
        elapsed.append(time.perf_counter() - start)
    # psutil.cpu_percent(interval=0.1), as the second article has it, sleeps 0.1 s in the loop, every time.
    assert min(elapsed) < 0.05
    assert facts is not None
    assert facts.rss > 0 and facts.vms > facts.rss and facts.threads > 0 and facts.open_files > 0
    assert 0 <= facts.uptime < 86400
    assert not [path for path in PACKAGE if "psutil" in imported(path)]


async def test_a_schedule_beside_relative_sleeps_reports_its_own_drift_as_lag_item_55() -> None:
    """S3, item 55: `next_t += interval` beside relative sleeps."""
    loop = asyncio.get_running_loop()
    expected, drift = loop.time(), 0.0
    each = []
    for _ in range(200):
        expected += 0.005
        start = time.perf_counter()
        await asyncio.sleep(0.005)
        each.append(time.perf_counter() - start - 0.005)
        drift = loop.time() - expected
    # The fourth article's number is the sum of all small delays, not the delay of now.
    assert drift > sorted(each)[len(each) // 2] * 5


async def test_a_service_without_its_database_is_not_200_and_asks_no_third_party_item_62(
    database: Database, serve: Serve
) -> None:
    """S0 and S1, item 62: 200 when unhealthy, and probes that call third parties."""
    async with serve(database.settings(database_host="/nonexistent")) as client:
        for path in ("/health", "/health/ready", "/health/db"):
            response = await client.get(path)
            assert response.status_code == 503, path
            assert "Errno" not in response.text and "/nonexistent" not in response.text
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/health/ready")).headers["retry-after"] == "1"
        assert (await client.get("/health/deep")).status_code == 401
    assert not [path for path in PACKAGE if imported(path) & {"httpx", "httpx2", "requests", "aiohttp"}]


async def test_the_first_articles_pool_methods_do_not_exist_item_63(database: Database) -> None:
    """S0, item 63: `waiters()` and `checked_out()`."""
    from sqlalchemy.pool import AsyncAdaptedQueuePool

    assert not hasattr(AsyncAdaptedQueuePool, "waiters")
    assert not hasattr(AsyncAdaptedQueuePool, "checked_out")
    engine = create_engine(database.settings())
    try:
        assert engine.pool.overflow() < 0, "SQLAlchemy counts from minus its size"  # type: ignore[attr-defined]
        assert pool_facts(engine).model_dump() == {
            "checked_out": 0,
            "checked_in": 0,
            "overflow": 0,
            "size": 2,
            "waiters": 0,
        }
    finally:
        await engine.dispose()


async def test_the_hosts_memory_makes_no_service_unhealthy_item_64(client: httpx2.AsyncClient) -> None:
    """S0, item 64: 503 for the memory of the whole host."""
    for path in ("health.py", "../core/health.py"):
        source = (SERVICE / "shop/operations" / path).read_text()
        assert "meminfo" not in source and "virtual_memory" not in source
    assert (await client.get("/health")).status_code == 200


async def test_foreign_loggers_lines_are_json_too_item_70(capsys: pytest.CaptureFixture[str]) -> None:
    """S0, item 70: only its own loggers write JSON."""
    from shop.core.logging import json_formatter

    record = logging.LogRecord("uvicorn.error", logging.INFO, "x", 1, "Started %s", ("it",), None)
    line = json_formatter("release-1").format(record)
    assert line.startswith("{") and '"event":"Started it"' in line and '"logger":"uvicorn.error"' in line


def test_a_logger_is_no_field_of_a_model_item_71() -> None:
    """S0, item 71: a logger as a field of a Pydantic model."""
    import structlog

    with pytest.raises(pydantic.errors.PydanticSchemaGenerationError):
        pydantic.create_model("UserCreate", logger=(structlog.PrintLogger | None, None))


def test_no_worker_writes_a_log_file_item_72() -> None:
    """S1, item 72: workers that rotate one file."""
    for path in PACKAGE:
        assert not imported(path) & {"RotatingFileHandler", "TimedRotatingFileHandler", "logging.handlers"}, (
            path
        )
    assert "FileHandler" not in (SERVICE / "shop/core/logging.json").read_text()


async def test_an_error_has_its_request_id_too_and_no_layer_is_a_base_http_middleware_item_73() -> None:
    """S1 and S3, item 73: `BaseHTTPMiddleware`, and errors without their id."""

    class AsTheArticlesHaveIt(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            response = await call_next(request)
            response.headers["X-Request-ID"] = request.headers.get("X-Request-ID", "")
            return response

    def fail(_: Request) -> Response:
        raise RuntimeError

    def fine(_: Request) -> Response:
        return PlainTextResponse("fine")

    app = Starlette(routes=[Route("/fail", fail), Route("/fine", fine)])
    app.add_middleware(AsTheArticlesHaveIt)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://seed.test") as client:
        assert "x-request-id" not in (await client.get("/fail")).headers
        forged = await client.get("/fine", headers={"X-Request-ID": '","level":"forged'})
        assert forged.headers["x-request-id"] == '","level":"forged'
    assert not [path for path in PACKAGE if "BaseHTTPMiddleware" in imported(path)]


async def test_a_request_has_its_id_under_both_names_and_every_line_of_it_has_the_id_item_73_and_74(
    database: Database,
) -> None:
    """S3, items 73 and 74: `corr_id`, kept; none for each request, as every logger's lines have its id."""
    app = create_app(database.settings())
    seen: dict[str, Any] = {}

    @app.get("/seen")
    async def seen_here(request: Request) -> None:
        seen.update(id=request.state.request_id, corr_id=request.state.corr_id)
        seen["bound"] = structlog.contextvars.get_contextvars()

    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://shop.test"
    ) as client:
        await client.get("/seen?token=hidden", headers={"X-Request-ID": "request-number-1"})
    assert seen["id"] == seen["corr_id"] == "request-number-1"
    assert seen["bound"]["request_id"] == "request-number-1"


def test_the_second_articles_buckets_are_blind_where_requests_are_item_75() -> None:
    """S1, item 75: the buckets, the type and the address of its metrics."""
    # Its first bucket ends at 100 ms: everything a healthy service does would be in it.
    assert len([bound for bound in DURATION_BUCKETS if bound < 0.1]) == 4
    assert Metrics().http_requests_total._labelnames == ("method", "endpoint", "status")


def test_the_classic_text_is_not_openmetrics_item_75() -> None:
    """S1, item 75: the buckets, the type and the address of its metrics."""
    registry = prometheus_client.CollectorRegistry()
    prometheus_client.Counter("seen", "Seen.", registry=registry)
    assert not prometheus_client.generate_latest(registry).endswith(b"# EOF\n")
    assert prometheus_client.openmetrics.exposition.generate_latest(registry).endswith(b"# EOF\n")


async def test_metrics_have_one_meaning_and_are_not_on_the_public_address_item_75(
    client: httpx2.AsyncClient,
) -> None:
    """S1, item 75: the buckets, the type and the address of its metrics."""
    assert (await client.get("/metrics")).status_code == 404


@pytest.fixture
def values(tmp_path: Path) -> Iterator[Path]:
    """A directory in which two processes keep their counters."""
    import subprocess
    import sys

    program = "import prometheus_client as p; p.Counter('answered', 'x').inc(3)"
    for _ in range(2):
        environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
        subprocess.run([sys.executable, "-c", program], env=environ, check=True)
    yield tmp_path


def test_one_workers_registry_knows_nothing_of_the_others_item_76(values: Path) -> None:
    """S1, item 76: each scrape sees one worker."""
    alone = prometheus_client.CollectorRegistry()
    prometheus_client.Counter("answered", "x", registry=alone).inc(3)
    assert alone.get_sample_value("answered_total") == 3
    together = prometheus_client.CollectorRegistry()
    MultiProcessCollector(together, str(values))  # type: ignore[no-untyped-call]
    assert together.get_sample_value("answered_total") == 6


def test_sentry_is_told_of_no_person_unless_asked_item_77() -> None:
    """S1, item 77: Sentry, with what it sends of persons."""
    source = (SERVICE / "shop/core/telemetry.py").read_text()
    for setting in ("send_default_pii=False", "include_local_variables=False", "before_send=_before_send"):
        assert setting in source
    assert "sentry_sdk" not in (SERVICE / "requirements.in").read_text()
