"""Measure what customers notice of hostile paths; `make bench BENCH=hostile` runs it.

Customers order over keep-alive connections, alone and beside 200 hostile paths a second, in turns of one run: what
counts is the ratio of the two. On a machine of two cores the callers' own work is in it too.
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
from tests.bench.rollouts import AS_IS, ground_on
from tests.e2e import hosts
from tests.e2e.ground import Ground
from tests.e2e.load import Seen, Shop

SECONDS, RATE, HOSTILE, CLIENTS, TURNS = 30, 40.0, 200, 8, 3


def quantile(seen: Seen, share: float) -> float:
    """How many milliseconds that share of the answers took at most."""
    return (
        1000
        * statistics.quantiles([answer.at - answer.sent for answer in seen.answers], n=1000)[
            int(share * 1000) - 1
        ]
    )


def turn(ground: Ground, shop: Shop, hostile: bool) -> tuple[Seen, dict[str, int]]:
    """One turn of customers; the answers that the hostile caller got, by status."""
    got: dict[str, int] = {}

    def call() -> None:
        address = ground.site.address
        found = hosts.python(ground.first, "hostile.py", address=address, rate=HOSTILE, seconds=SECONDS)
        got.update(found["statuses"])

    caller = threading.Thread(target=call)
    with shop.load(RATE) as load:
        if hostile:
            caller.start()
        time.sleep(SECONDS)
        if hostile:
            caller.join()
    return load.seen, got


def main() -> int:
    """Print the table; 1 when an order was lost."""
    ground = ground_on(ONE)
    shop = ground.shop(CLIENTS)
    table = Table("turn", "orders", "lost", "p50 ms", "p99 ms", "p99.9 ms", "hostile answers")
    p99: dict[bool, list[float]] = {False: [], True: []}
    lost = 0
    for number in range(TURNS):
        for hostile in (False, True):
            seen, got = turn(ground, shop, hostile)
            lost += len(seen.losses) + len(seen.wrong)
            p99[hostile].append(quantile(seen, 0.99))
            name = f"{number + 1}, {'beside hostile paths' if hostile else 'alone'}"
            figures = [quantile(seen, 0.5), p99[hostile][-1], quantile(seen, 0.999)]
            table.add_row(
                name,
                str(seen.placed),
                str(len(seen.losses)),
                *[f"{figure:.1f}" for figure in figures],
                json.dumps(got),
            )
    Console(width=140).print(table)
    print(
        f"p99 beside / alone: {statistics.median(p99[True]) / statistics.median(p99[False]):.2f} (medians of {TURNS})"
    )
    if not AS_IS:
        ground.lab.down()
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
