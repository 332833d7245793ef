"""Moments as records carry them."""

from __future__ import annotations

import time
from datetime import datetime, timezone


def utc_now() -> str:
    """This moment."""
    return utc(time.time())


def utc(seconds: float) -> str:
    """seconds: since 1970."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
