"""Measure `fab db-status` on a lab host that serves: wall time of several runs, and the CPU of a watch.

A watch is measured once it runs: its start is a run of its own, and is in the wall time.

`make bench BENCH=database` runs it; the host is the one of inventory/lab, or of SLIPWAY_BENCH_ONE.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabfile.database.findings import Report
from tests.database import catalogue_ground
from tests.database.status_ground import Cluster
from tests.e2e import hosts
from tests.lab.lab import Lab

CHECKOUT = Path(__file__).parent.parent.parent
ONE = Path(os.environ.get("SLIPWAY_BENCH_ONE", "inventory/lab"))
RUNS = 7
STARTING_SECONDS = 5
WATCHED_SECONDS = 60
WANTED_SECONDS, WANTED_SHARE, WANTED_LARGE = 1.5, 2.0, 3.0


def command(*more: str) -> list[str]:
    """db-status, as an operator types it."""
    return [str(Path(sys.executable).with_name("fab")), "db-status", f"--env={ONE.name}", *more]


def wall_seconds() -> float:
    """One run. Raises when it does not end with the exit code of a level."""
    began = time.monotonic()
    done = subprocess.run(command(), capture_output=True, text=True, cwd=CHECKOUT, check=False)
    if done.returncode not in range(4):
        raise RuntimeError(f"fab db-status ended with status {done.returncode}:\n{done.stderr}")
    return time.monotonic() - began


@dataclass(frozen=True)
class Shares:
    """Percent of one core over a watch that has started: the controller's process, its ssh, the host for both."""

    process: float
    ssh: float
    host: float


def watched() -> Shares:
    """What a watch takes from its second look on."""
    process = subprocess.Popen(command("--watch=2"), stdout=subprocess.DEVNULL, cwd=CHECKOUT)
    try:
        time.sleep(STARTING_SECONDS)
        (ssh,) = children(process.pid)
        before = [spent(process.pid), spent(ssh), on_host()]
        time.sleep(WATCHED_SECONDS)
        after = [spent(process.pid), spent(ssh), on_host()]
    finally:
        process.terminate()
        process.wait()
    return Shares(*(100 * (new - old) / WATCHED_SECONDS for old, new in zip(before, after, strict=True)))


def children(pid: int) -> list[int]:
    """The processes that one started."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def spent(pid: int) -> float:
    """Seconds of CPU of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# The session of PostgreSQL, what sshd and the program on the host take, with the processes that this starts.
ON_HOST = """
for each in $(pgrep -f '^postgres: .*slipway_ops' ; pgrep -u deploy); do
  cat /proc/$each/stat 2>/dev/null
done | sed 's/.*) //' | awk '{ spent += $12 + $13 + $14 + $15 } END { print spent / 100 }'
"""


def on_host() -> float:
    """Seconds of CPU that looking has taken on the database's host."""
    return float(hosts.output(next(iter(Lab(CHECKOUT / ONE).hosts.values())), ON_HOST))


def catalogue() -> None:
    """How long a look takes at 5 000 tables, 60 000 locks and 400 waiters, without the way there."""
    with catalogue_ground.large() as cluster:
        seen = catalogue_ground.facts(cluster)
        runs = [_looked(cluster, seen) for _ in range(RUNS)]
    seconds = sorted(spent for spent, _ in runs)
    print(
        f"db-status at a large catalogue, {RUNS} looks: {', '.join(f'{one:.2f}' for one in seconds)} s; median "
        f"{seconds[RUNS // 2]:.2f} s, wanted {WANTED_LARGE} s"
    )
    for part in runs[-1][1].sections:
        print(f"  {part.name}: {part.seconds:.2f} s {part.problem}".rstrip())


def _looked(cluster: Cluster, seen: dict[str, Any]) -> tuple[float, Report]:
    began = time.monotonic()
    report = catalogue_ground.look(cluster, seen)
    return time.monotonic() - began, report


def main() -> None:
    catalogue()
    Lab(CHECKOUT / ONE).up()
    runs = sorted(wall_seconds() for _ in range(RUNS))
    shown = ", ".join(f"{seconds:.2f}" for seconds in runs)
    print(f"fab db-status, {RUNS} runs: {shown} s; median {runs[RUNS // 2]:.2f} s, wanted {WANTED_SECONDS} s")
    shares = watched()
    print(
        f"fab db-status --watch 2, {WATCHED_SECONDS} s after its start: {shares.process + shares.ssh:.1f} % of a core "
        f"on the controller ({shares.process:.1f} % its process, {shares.ssh:.1f} % ssh), wanted {WANTED_SHARE:g} %; "
        f"{shares.host:.1f} % on the host (PostgreSQL, sshd, the program that looks)"
    )
    load = os.getloadavg()[0]
    print(f"Load of the machine meanwhile: {load:.1f} on {os.cpu_count()} cores.")


if __name__ == "__main__":
    main()
