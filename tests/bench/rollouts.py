"""Measure deploys and rollbacks under customers who never try again; `make bench BENCH=rollouts` runs it.

One host with nobody ordering (deploys.py); then ten deploys and as many rollbacks of one host and of the fleet, while
at least 30 000 orders are sent, and as many rollbacks with nobody ordering, each to the release that is warm. Seconds
are wall time of the whole command.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from tests.bench import deploys
from tests.bench.__main__ import FLEET, ONE
from tests.e2e.ground import Ground, entries, late_ms
from tests.e2e.load import Seen

PAIRS = int(os.environ.get("SLIPWAY_BENCH_ROLLOUTS", "10"))
REQUESTS = int(os.environ.get("SLIPWAY_BENCH_REQUESTS", "30000"))
# Orders a second of all clients together, and the clients.
RATE = float(os.environ.get("SLIPWAY_BENCH_RATE", "150"))
CLIENTS = 12
BAKE = 3


@dataclass(frozen=True)
class Measured:
    """deploys, rollbacks, quiet_rollbacks: seconds of each command. late_ms, late_asked_ms: by answer, by request.

    kept: every confirmed order is there, and no other.
    """

    what: str
    hosts: int
    deploys: list[float]
    rollbacks: list[float]
    quiet_rollbacks: list[float]
    seen: Seen
    late_ms: list[float]
    late_asked_ms: list[float]
    probe_gap_ms: int
    probe_lost: int
    kept: bool


def measure(what: str, ground: Ground) -> Measured:
    """Deploy and roll back under load; raise when a command fails."""
    shop, since = ground.shop(CLIENTS), time.time()
    moved, rollbacks = [], []
    began, share = time.monotonic(), REQUESTS / RATE / PAIRS
    with shop.load(RATE) as load:
        for number in range(PAIRS):
            # Spread over the whole load, so that it is not over before the last of them.
            time.sleep(max(0.0, began + number * share - time.monotonic()))
            moved.append(ground.fab.deploy(ground.release(), bake=BAKE).ended(0).seconds)
            rollbacks.append(ground.fab.run("rollback").ended(0).seconds)
        time.sleep(max(0.0, began + 1.05 * REQUESTS / RATE - time.monotonic()))
    ends = [
        entry["details"]
        for kind in ("deploy.end", "rollback.end")
        for entry in entries(ground.first, kind)[-PAIRS:]
    ]
    confirmed = {answer.key for answer in load.seen.answers if answer.status == 201}
    return Measured(
        what=what,
        hosts=len(ground.app_hosts),
        deploys=moved,
        rollbacks=rollbacks,
        quiet_rollbacks=to_and_fro(ground),
        seen=load.seen,
        late_ms=late_ms(ground, load.seen, since),
        late_asked_ms=late_ms(ground, load.seen, since, asked=True),
        probe_gap_ms=max(int(each["max_gap_ms"]) for each in ends),
        probe_lost=sum(int(each["lost"]) for each in ends),
        kept=shop.keys() == confirmed,
    )


def to_and_fro(ground: Ground) -> list[float]:
    """Seconds of rollbacks between the live release and the warm one, each beginning when the one before has ended."""
    seconds = []
    for _ in range(PAIRS):
        moved = entries(ground.first, "rollback.begin")[-1]["details"]
        warm = moved["previous"][ground.first.name]
        seconds.append(ground.fab.run("rollback", "--to", warm).ended(0).seconds)
    return seconds


def _spread(values: Sequence[float], unit: str) -> str:
    return f"{statistics.median(values):.2f} {unit}, worst {max(values):.2f}"


def show(runs: Sequence[Measured]) -> None:
    """Print one table: a column for each environment."""
    table = Table(title=f"{PAIRS} deploys and {PAIRS} rollbacks under load", title_justify="left")
    table.add_column("what")
    for run in runs:
        table.add_column(f"{run.what}, {run.hosts} app host(s)", justify="right")
    rows = {
        "orders sent": [f"{len(run.seen.answers) + len(run.seen.losses)}" for run in runs],
        "lost: cut, or no connection": [str(len(run.seen.losses)) for run in runs],
        "answered, but not confirmed": [str(len(run.seen.wrong)) for run in runs],
        "orders in the database": ["as confirmed" if run.kept else "NOT AS CONFIRMED" for run in runs],
        "last old answer after the switch": [_spread(run.late_ms, "ms") for run in runs],
        "the same, by when it was asked for": [_spread(run.late_asked_ms, "ms") for run in runs],
        "longest time nobody was served": [f"{run.seen.gap_ms():.0f} ms" for run in runs],
        "probe: lost, longest gap": [f"{run.probe_lost}, {run.probe_gap_ms} ms" for run in runs],
        f"deploy ({BAKE} s of it watching)": [_spread(run.deploys, "s") for run in runs],
        "warm rollback": [_spread(run.rollbacks, "s") for run in runs],
        "warm rollback, nobody ordering": [_spread(run.quiet_rollbacks, "s") for run in runs],
    }
    for name, cells in rows.items():
        table.add_row(name, *cells)
    console = Console(width=110)
    console.print(table)
    console.print(
        f"Load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores at the end; clients, hosts, fab share them."
    )


def main() -> int:
    """Print the table; leave no host behind, unless it was there before."""
    runs = []
    for inventory, what in ((ONE, "one host"), (FLEET, "fleet")):
        if str(inventory) == "none":
            continue
        try:
            ground = deploys.ground_on(inventory)
            if inventory == ONE:
                deploys.show(deploys.measure(ground))
            runs.append(measure(what, ground))
        finally:
            deploys.leave(inventory)
    show(runs)
    return 0 if all(run.kept and not run.seen.losses and not run.seen.wrong for run in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
