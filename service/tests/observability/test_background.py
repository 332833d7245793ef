"""What runs beside the requests may fail: the service serves on, and says what failed."""

import anyio
import httpx2
import pytest
import structlog

from conftest import Database
from shop import operations
from shop.core import background
from shop.main import create_app

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", ["expose_metrics", "lag_probe"])
async def test_an_observer_that_fails_ends_nothing_and_is_started_again(
    shared_database: Database, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    starts = []

    async def failing(*_: object) -> None:
        starts.append(name)
        raise OverflowError("nobody thought of this")

    monkeypatch.setattr(operations, name, failing)
    monkeypatch.setattr(background, "RESTART_SECONDS", 0.05)
    app = create_app(shared_database.settings(metrics_address="/nonexistent/metrics.sock"))
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    with structlog.testing.capture_logs() as events:
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url="http://shop.test") as client,
        ):
            with anyio.fail_after(10):
                while len(starts) < 3:  # noqa: ASYNC110 - it has no event
                    await anyio.sleep(0.02)
            assert (await client.get("/health/ready")).status_code == 200
    assert [event for event in events if event["event"] == "background_task_failed"]
