"""Whether what a Prometheus answered can be of the unit that its panel has."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from dashboards.__main__ import BOARDS
from tests.dashboards.recording import Name

# At least, and at most.
BOUNDS: dict[str, tuple[float, float]] = {
    "percentunit": (0, 1.0001),
    "percent": (0, 100.0001),
    "bool_yes_no": (0, 1),
    # Of ten years no host has a certificate or a release; a clock is read a moment before it is compared.
    "s": (-1, 40 * 365 * 86400),
    # What is over has less than none left.
    "d": (-40 * 365, 40 * 365),
    "bytes": (0, 1 << 44),
    "Bps": (0, 1 << 36),
    "reqps": (0, 100_000),
    "ops": (0, 1_000_000),
    "short": (0, 1e9),
    "none": (0, 1e9),
}


def panels(answers: dict[Name, list[Any]]) -> Iterator[tuple[str, str, list[float]]]:
    """(board and panel, unit, all that was answered that is a number)."""
    for board in BOARDS:
        for panel in board.written()["panels"]:
            found: list[float] = []
            for target in panel["targets"]:
                for series in answers[(board.name, panel["id"], target["refId"])]:
                    points = series["values"] if "values" in series else [series["value"]]
                    found += [float(value) for _, value in points]
            unit = panel["fieldConfig"]["defaults"]["unit"]
            yield f"{board.name}: {panel['title']}", unit, [value for value in found if not math.isnan(value)]


def outside(unit: str, values: list[float]) -> list[float]:
    """The values that cannot be of that unit."""
    least, most = BOUNDS[unit]
    return [value for value in values if not least <= value <= most]
