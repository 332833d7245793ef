"""Operations: what runs beside the requests, and what tells operators how the service is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
from fastapi import FastAPI

from shop.core.background import kept_running
from shop.core.database import Resources
from shop.core.exposition import expose_metrics
from shop.core.lag import Lag, lag_probe
from shop.core.metrics import metrics
from shop.core.pool import pool_facts
from shop.operations import debug, health
from shop.operations.monitor import DatabaseMonitor
from shop.settings import Settings

__all__ = ["include_routers", "observed"]

# Where /debug exists: elsewhere it is not even in the routing table.
DEBUGGED = ("lab", "test")


def include_routers(app: FastAPI, settings: Settings) -> None:
    """Add the addresses for operators that exist in the environment of `settings`."""
    app.include_router(health.router)
    if settings.environment in DEBUGGED:
        app.include_router(debug.router)


@asynccontextmanager
async def observed(app: FastAPI, settings: Settings, resources: Resources) -> AsyncIterator[None]:
    """Probe the event loop, publish the pool's numbers and serve /metrics while the service runs."""
    instruments, lag = metrics(), Lag()
    app.state.lag = lag
    app.state.monitor = monitor = DatabaseMonitor(resources.reads)

    def observe(seconds: float) -> None:
        lag.add(seconds)
        instruments.event_loop_lag_seconds.observe(seconds)
        instruments.publish()
        for name, value in pool_facts(resources.reads):
            instruments.pool[name].set(value)

    async with anyio.create_task_group() as group:
        probe = partial(lag_probe, 0.5, settings.loop_lag_warning_ms, observe)
        group.start_soon(kept_running, "lag_probe", probe)
        if settings.metrics_address:
            expose = partial(expose_metrics, settings, [monitor], monitor.collect_metrics)
            group.start_soon(kept_running, "metrics", expose)
        try:
            yield
        finally:
            group.cancel_scope.cancel()
            instruments.publish()
