"""The findings, one line each, and the table they make."""

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from bench.measure import Score


@dataclass(frozen=True)
class Finding:
    """One measured value with its target; `met` is None where there is none."""

    what: str
    measured: str
    interval: str = ""
    target: str = ""
    met: bool | None = None
    detail: str = ""

    @property
    def verdict(self) -> str:
        """The verdict in a word."""
        return {True: "reached", False: "MISSED", None: ""}[self.met]


def at_most(what: str, score: Score, target: float, unit: str, detail: str = "") -> Finding:
    """A finding whose median must not be above `target`."""
    return Finding(
        what,
        f"{score.median:.2f}{unit}",
        f"{score.low:.2f} to {score.high:.2f}",
        f"at most {target:g}{unit}",
        score.median <= target,
        detail,
    )


def at_least(what: str, score: Score, target: float, unit: str, detail: str = "") -> Finding:
    """A finding whose median must not be below `target`."""
    return Finding(
        what,
        f"{score.median:.2f}{unit}",
        f"{score.low:.2f} to {score.high:.2f}",
        f"at least {target:g}{unit}",
        score.median >= target,
        detail,
    )


def show(findings: list[Finding], title: str) -> None:
    """Print the table."""
    table = Table(title=title, title_justify="left")
    for column in ("what", "measured", "95 % interval", "target", ""):
        table.add_column(column, justify="left" if column in ("what", "") else "right")
    table.add_column("detail", justify="left")
    for one in findings:
        table.add_row(one.what, one.measured, one.interval, one.target, one.verdict, one.detail)
    Console(width=160).print(table)
