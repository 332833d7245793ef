"""Numbers as a person reads them: sizes, durations, counts."""

from __future__ import annotations

SIZES = ("B", "kB", "MB", "GB", "TB", "PB")


def size(value: float | None) -> str:
    """Bytes in the largest unit that leaves a number of at least 1, in steps of 1024 as PostgreSQL counts them."""
    if value is None:
        return "-"
    number, unit = float(value), 0
    while abs(number) >= 1024 and unit < len(SIZES) - 1:
        number, unit = number / 1024, unit + 1
    return f"{number:.0f} {SIZES[unit]}" if number >= 10 or unit == 0 else f"{number:.1f} {SIZES[unit]}"


def duration(seconds: float | None) -> str:
    """Seconds as two units at most: 0.4 s, 12 s, 3 min 20 s, 5 h 2 min, 4 d 3 h."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for large, small, each in (("d", "h", 3600), ("h", "min", 60), ("min", "s", 1)):
        steps = {"d": 24, "h": 60, "min": 60}[large]
        if whole >= steps * each:
            first, rest = divmod(whole // each, steps)
            return f"{first} {large} {rest} {small}" if rest else f"{first} {large}"
    return f"{whole} s"


def milliseconds(value: float | None) -> str:
    """Milliseconds with three figures: 0.042 ms, 12.3 ms, 4.52 s."""
    if value is None:
        return "-"
    if value >= 10_000:
        return duration(value / 1000)
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.3g} ms"


def count(value: float | None) -> str:
    """A whole number with a thin grouping: 12 345 678."""
    return "-" if value is None else f"{value:,.0f}".replace(",", " ")
