"""The event loop's lag: how much later than asked it wakes a task, because something kept it busy."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

import structlog

log = structlog.get_logger("shop.loop")


class Lag:
    """The last minute's measurements, in seconds."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=120)

    def add(self, seconds: float) -> None:
        """One more measurement."""
        self._recent.append(seconds)

    @property
    def latest(self) -> float:
        """The last one; 0 before the first."""
        return self._recent[-1] if self._recent else 0.0

    @property
    def worst(self) -> float:
        """The largest of the last 120."""
        return max(self._recent, default=0.0)


async def lag_probe(
    interval: float = 0.5, warn_ms: float = 100, observe: Callable[[float], None] = lambda seconds: None
) -> None:
    """Measure the lag every `interval` seconds, for ever; `observe` gets each in seconds.

    Each sleep is measured by itself: a schedule kept beside sleeps drifts, and reports its own drift as lag.
    By the wall's clock, not loop.time(), which uvloop reads once a turn and in milliseconds.
    """
    # With PYTHONASYNCIODEBUG=1 the loop itself names the callbacks that were as slow.
    asyncio.get_running_loop().slow_callback_duration = warn_ms / 1000
    while True:
        start = time.perf_counter()
        await asyncio.sleep(interval)
        lag = max(0.0, time.perf_counter() - start - interval)
        observe(lag)
        if lag * 1000 >= warn_ms:
            log.warning("event_loop_lag", lag_ms=round(lag * 1000, 1), warn_ms=warn_ms)
