"""Measure whole runs of site.yml on lab hosts and print one table; `make bench` runs it.

Seconds are wall time of the command an operator types, CPU is what its processes on the controller spent, on this
machine, in this run: compare within one table.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.lab.lab import Lab

CHECKOUT = Path(__file__).parent.parent.parent
ONE = Path(os.environ.get("SLIPWAY_BENCH_ONE", "inventory/lab"))
FLEET = Path(os.environ.get("SLIPWAY_BENCH_FLEET", "inventory/fleet"))
NOTHING = "nothing to change"


@dataclass(frozen=True)
class Run:
    """One run of site.yml over some hosts: wall seconds, those of the controller's CPU, tasks, changes, its words."""

    what: str
    hosts: int
    seconds: float
    cpu: float
    tasks: int
    changed: int
    said: str


def measure(what: str, inventory: Path, hosts: int) -> Run:
    """Run site.yml once; raise with the end of its output when it fails."""
    began, used = time.monotonic(), cpu()
    outcome = subprocess.run(
        ["ansible-playbook", "--inventory", str(inventory), "site.yml"],
        cwd=CHECKOUT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    seconds = time.monotonic() - began
    if outcome.returncode != 0:
        raise RuntimeError(f"{what} failed:\n{outcome.stdout[-4000:]}")
    tasks = len(re.findall(r"^(?:TASK|RUNNING HANDLER) \[", outcome.stdout, re.MULTILINE))
    changed = sum(int(count) for count in re.findall(r"\bchanged=(\d+)", outcome.stdout))
    return Run(what, hosts, seconds, cpu() - used, tasks, changed, outcome.stdout)


def cpu() -> float:
    """Seconds of CPU of all programs that this one started and that have ended, with theirs."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def bare(inventory: Path) -> int:
    """Give the inventory's hosts a fresh start; return how many there are."""
    lab = Lab(inventory)
    lab.down()
    lab.up()
    return len(lab.hosts)


def changes(said: str) -> str:
    """The tasks of a run's output that changed a host, each with its hosts."""
    tasks = re.split(r"^(?=(?:TASK|RUNNING HANDLER) \[)", said, flags=re.MULTILINE)
    return "".join(task for task in tasks if re.search(r"^changed: ", task, re.MULTILINE))


def main() -> int:
    """Print the table; leave no host behind."""
    runs: list[Run] = []
    try:
        for inventory, name in ((ONE, "one host"), (FLEET, "the fleet")):
            hosts = bare(inventory)
            runs.append(measure(f"{name}: bare to serving", inventory, hosts))
            runs += [measure(f"{name}: {NOTHING}", inventory, hosts) for _ in range(3)]
            Lab(inventory).down()
    finally:
        for inventory in (ONE, FLEET):
            Lab(inventory).down()
    table = Table(title="site.yml", title_justify="left")
    for column in ("what", "hosts", "seconds", "CPU", "tasks", "changed"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for run in runs:
        table.add_row(
            run.what, str(run.hosts), f"{run.seconds:.1f}", f"{run.cpu:.1f}", str(run.tasks), str(run.changed)
        )
    console = Console(width=100)
    console.print(table)
    for run in runs:
        if run.changed and run.what.endswith(NOTHING):
            console.print(f"There was something to change ({run.what}):\n{changes(run.said)}", markup=False)
    one, fleet = runs[0].seconds, runs[4].seconds
    console.print(f"The fleet took {fleet / one:.2f} times what one host took, from bare to serving.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
