"""Operations: what runs beside the requests, and what tells operators how the service is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
from fastapi import APIRouter

from shop.core.background import kept_running
from shop.core.container import Container
from shop.core.database import Resources
from shop.core.exposition import expose_metrics
from shop.core.lag import Lag, lag_probe
from shop.core.metrics import metrics
from shop.core.pool import pool_facts
from shop.operations import debug, health
from shop.operations.monitor import DatabaseMonitor
from shop.settings import OPEN_ENVIRONMENTS, Settings

__all__ = ["TAGS", "observed", "routers"]

TAGS = {
    "health": "Whether the process lives and can do its work.",
    "debug": "For admins, outside production: how queries run, what the process holds.",
}


def routers(settings: Settings) -> list[APIRouter]:
    """The addresses for operators; outside the open environments /debug is not even in the routing table."""
    is_open = settings.environment in OPEN_ENVIRONMENTS
    return [health.router, debug.router] if is_open else [health.router]


@asynccontextmanager
async def observed(container: Container, settings: Settings) -> AsyncIterator[None]:
    """Probe the event loop, publish the pool's numbers and serve /metrics while the service runs."""
    instruments, lag, reads = metrics(), Lag(), container.get(Resources).reads
    monitor = DatabaseMonitor(reads)
    container.put(lag)
    container.put(monitor)

    def observe(seconds: float) -> None:
        lag.add(seconds)
        instruments.event_loop_lag_seconds.observe(seconds)
        instruments.publish()
        for name, value in pool_facts(reads):
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
