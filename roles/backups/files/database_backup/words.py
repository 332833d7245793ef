"""Numbers as a person reads them."""

from __future__ import annotations

STEP = 1024


def size(count: float) -> str:
    """1536 is 1.5 kB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < STEP:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= STEP
    return f"{count:.1f} TB"


def rows(tables: dict[str, int]) -> str:
    return f"{sum(tables.values())} rows in {len(tables)} tables"
