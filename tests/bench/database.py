"""Measure `fab db-status` on a lab host that serves: wall time of several runs, and the CPU of a watch.

`make bench BENCH=database` runs it; the host is the one of inventory/lab, or of SLIPWAY_BENCH_ONE.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.lab.lab import Lab

CHECKOUT = Path(__file__).parent.parent.parent
ONE = Path(os.environ.get("SLIPWAY_BENCH_ONE", "inventory/lab"))
RUNS = 7
WATCHED_SECONDS = 30
WANTED_SECONDS, WANTED_SHARE = 1.5, 2.0


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


def watched_share() -> float:
    """Percent of one CPU that a watch takes, its own start and ssh included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command("--watch=2"), stdout=subprocess.DEVNULL, cwd=CHECKOUT)
    time.sleep(WATCHED_SECONDS)
    process.send_signal(signal.SIGINT)
    process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 100 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / WATCHED_SECONDS


def main() -> None:
    Lab(CHECKOUT / ONE).up()
    runs = sorted(wall_seconds() for _ in range(RUNS))
    shown = ", ".join(f"{seconds:.2f}" for seconds in runs)
    print(f"fab db-status, {RUNS} runs: {shown} s; median {runs[RUNS // 2]:.2f} s, wanted {WANTED_SECONDS} s")
    print(
        f"fab db-status --watch 2, {WATCHED_SECONDS} s: {watched_share():.1f} % of a CPU with its start, "
        f"wanted {WANTED_SHARE} %"
    )
    load = os.getloadavg()[0]
    print(f"Load of the machine meanwhile: {load:.1f} on {os.cpu_count()} cores.")


if __name__ == "__main__":
    main()
