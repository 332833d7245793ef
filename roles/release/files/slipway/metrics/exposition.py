"""Samples as Prometheus's text format, whole in a file or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from slipway.files import write_atomically
from slipway.metrics.table import METRICS

# (name, labels, value)
Sample = tuple[str, Mapping[str, str], float]


def encoded(samples: Iterable[Sample], app: str) -> str:
    """In the table's order; a name that is not in it is a fault."""
    rows: dict[str, list[str]] = {name: [] for name in METRICS}
    for name, labels, value in samples:
        shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in {"app": app, **labels}.items())
        rows[name].append(f"{name}{{{shown}}} {value:.17g}\n")
    told = {name: lines for name, lines in rows.items() if lines}
    return "".join(
        f"# HELP {name} {METRICS[name]}\n# TYPE {name} gauge\n" + "".join(lines)
        for name, lines in told.items()
    )


def write(path: Path, text: str) -> None:
    write_atomically(path, text.encode("utf-8", "replace"))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
