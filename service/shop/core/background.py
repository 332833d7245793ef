"""What runs beside the requests: it may fail, and the service serves on."""

from collections.abc import Awaitable, Callable

import anyio
import structlog

RESTART_SECONDS = 5.0

log = structlog.get_logger("shop.background")


async def kept_running(name: str, task: Callable[[], Awaitable[object]]) -> None:
    """Run `task` again and again until cancelled; what it raises is logged, and is nobody else's fault."""
    while True:
        try:
            await task()
        except Exception:
            log.exception("background_task_failed", task=name, again_after_seconds=RESTART_SECONDS)
        await anyio.sleep(RESTART_SECONDS)
