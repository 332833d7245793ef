"""Measure the service against its baselines and print one table.

Run it as `make bench BENCH=service` at the top, or as `python -m bench --baseline-python PYTHON` where PYTHON
has requirements-bench.lock installed. It takes about five minutes, about one with --quick. Scores are
ratios of CPU time, taken in turns within this run: other work on the machine widens their intervals more
than it moves them. The end status is 1 when a target is missed.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence

from bench import scenes
from bench.customer import Customer
from bench.measure import Load
from bench.report import Finding, show
from bench.servers import Stage

FULL = scenes.Plan(rounds=9, seconds=1.5, requests=100_000)
QUICK = scenes.Plan(rounds=3, seconds=0.7, requests=10_000)
SCENES = ("reads", "observability", "pages", "orders", "round_trips", "disconnects", "memory")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--baseline-python", required=True, help="the Python of the environment of requirements-bench.lock"
    )
    parser.add_argument("--quick", action="store_true", help="about a minute, with wide intervals")
    parser.add_argument("scenes", nargs="*", default=SCENES, metavar="SCENE", help=f"of {', '.join(SCENES)}")
    arguments = parser.parse_args()
    if unknown := set(arguments.scenes) - set(SCENES):
        parser.error(f"no scene is called {', '.join(sorted(unknown))}; there are {', '.join(SCENES)}")
    return arguments


def _measure(stage: Stage, load: Load, chosen: Sequence[str], plan: scenes.Plan) -> Iterator[list[Finding]]:
    customer = Customer(stage.database)
    baselines = scenes.start_baselines(stage)
    service = baselines[1]
    if "reads" in chosen:
        yield scenes.reads(stage, load, baselines, plan)
    if "observability" in chosen:
        yield scenes.observability(stage, load, service, plan)
    if "pages" in chosen:
        yield scenes.pages(stage, load, service, plan)
    for server in baselines:
        server.stop()
    if "orders" in chosen:
        yield scenes.orders(stage, load, customer, plan)
    if "round_trips" in chosen:
        yield scenes.round_trips(stage, load, customer)
    if "disconnects" in chosen:
        yield scenes.disconnects(stage, load, customer)
    if "memory" in chosen:
        yield scenes.memory(stage, load, plan)


def main() -> int:
    """Print the table; leave nothing behind."""
    arguments = _arguments()
    plan = QUICK if arguments.quick else FULL
    began = time.monotonic()
    load = Load()
    findings: list[Finding] = []
    try:
        with Stage(arguments.baseline_python) as stage:
            for found in _measure(stage, load, arguments.scenes, plan):
                findings += found
                print(
                    *(f"{one.what}: {one.measured}" for one in found), sep="\n", file=sys.stderr, flush=True
                )
    finally:
        load.close()
    python = ".".join(map(str, sys.version_info[:3]))
    show(findings, f"S the service, A raw Starlette, B a sync template; Python {python}, one worker each")
    seconds, busy = time.monotonic() - began, os.getloadavg()[0]
    print(f"{seconds:.0f} s; load of the machine at the end {busy:.1f} on {os.cpu_count()} cores.")
    return int(any(finding.met is False for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
