"""Measure what customers notice of hostile paths; `make bench BENCH=hostile` runs it.

Customers order over keep-alive connections alone, beside 200 ordinary paths a second, and beside 200 hostile ones, in
turns of one run. Hostile against alone is what customers notice, on a machine of two cores the callers' own work among
it; hostile against ordinary is what the hostility costs.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time

from rich.console import Console
from rich.table import Table

from tests.bench.__main__ import ONE
from tests.bench.deploys import AS_IS, ground_on
from tests.e2e import hosts
from tests.e2e.ground import Ground
from tests.e2e.load import Seen, Shop

SECONDS, RATE, CALLS, CLIENTS, TURNS = 30, 40.0, 200, 8, 3
ALONE, ORDINARY, HOSTILE = "alone", "ordinary", "hostile"


def quantile(seen: Seen, share: float) -> float:
    """How many milliseconds that share of the answers took at most."""
    return (
        1000
        * statistics.quantiles([answer.at - answer.sent for answer in seen.answers], n=1000)[
            int(share * 1000) - 1
        ]
    )


def turn(ground: Ground, shop: Shop, kind: str) -> tuple[Seen, dict[str, int]]:
    """One turn of customers; the answers that the other caller got, by status."""
    got: dict[str, int] = {}

    def call() -> None:
        address = ground.site.address
        found = hosts.python(
            ground.first, "hostile.py", kind=kind, address=address, rate=CALLS, seconds=SECONDS
        )
        got.update(found["statuses"])

    caller = threading.Thread(target=call)
    with shop.load(RATE) as load:
        if kind != ALONE:
            caller.start()
        time.sleep(SECONDS)
        if kind != ALONE:
            caller.join()
    return load.seen, got


def main() -> int:
    """Print the table; 1 when an order was lost."""
    ground = ground_on(ONE)
    shop = ground.shop(CLIENTS)
    table = Table("turn", "orders", "lost", "p50 ms", "p99 ms", "p99.9 ms", "the other caller's answers")
    p99: dict[str, list[float]] = {ALONE: [], ORDINARY: [], HOSTILE: []}
    lost = 0
    for number in range(TURNS):
        for kind, seen_so_far in p99.items():
            seen, got = turn(ground, shop, kind)
            lost += len(seen.losses) + len(seen.wrong)
            seen_so_far.append(quantile(seen, 0.99))
            name = f"{number + 1}, {kind if kind == ALONE else f'beside {kind} paths'}"
            figures = [quantile(seen, 0.5), seen_so_far[-1], quantile(seen, 0.999)]
            table.add_row(
                name,
                str(seen.placed),
                str(len(seen.losses)),
                *[f"{figure:.1f}" for figure in figures],
                json.dumps(got),
            )
    Console(width=140).print(table)
    alone, ordinary, hostile = (statistics.median(p99[kind]) for kind in (ALONE, ORDINARY, HOSTILE))
    print(
        f"p99, medians of {TURNS}: alone {alone:.1f} ms, beside ordinary paths {ordinary:.1f} ms, beside hostile ones "
        f"{hostile:.1f} ms; ordinary / alone {ordinary / alone:.2f}, hostile / alone {hostile / alone:.2f}, "
        f"hostile / ordinary {hostile / ordinary:.2f}"
    )
    if not AS_IS:
        ground.lab.down()
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
