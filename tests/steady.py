"""Run a suite; what failed of it is tried once more, alone, and named: python -m tests.steady SUITE COMMAND...

The suites start clusters, hosts and clients by the hundred on machines shared with others. A test that needs its
second try is printed as unsteady, to be mended; more than a few failures are no accident and end the run at once.
build/suites/ keeps what a suite did, for the table of `python -m tests.suites`.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

KEPT = Path(__file__).resolve().parent.parent / "build/suites"
MOST_ACCIDENTS = 3
FAILED_TESTS = 1


def main(suite: str, *command: str) -> int:
    """The exit code of the suite; its command is one of pytest."""
    KEPT.mkdir(parents=True, exist_ok=True)
    unsteady = KEPT / f"{suite}.unsteady"
    unsteady.unlink(missing_ok=True)
    # Suites that run side by side have each a cache; what an earlier run left in it is not what failed now.
    cache = KEPT / f"{suite}.cache"
    command = (*command, "-o", f"cache_dir={cache}")
    status = subprocess.run([*command, "--cache-clear", f"--junitxml={KEPT / suite}.xml"]).returncode
    failed = _failed(cache)
    if status != FAILED_TESTS or not 0 < len(failed) <= MOST_ACCIDENTS:
        return status
    print(f"\nOnce more, alone:{_lines(failed)}", flush=True)
    again = [*command, "-n0", "--last-failed", "--last-failed-no-failures=none"]
    status = subprocess.run(again).returncode
    if status == 0:
        unsteady.write_text("".join(f"{name}\n" for name in failed))
        print(f"\nUNSTEADY, passed at the second try:{_lines(failed)}", flush=True)
    return status


def _failed(cache: Path) -> Sequence[str]:
    kept = cache / "v/cache/lastfailed"
    return sorted(json.loads(kept.read_text(encoding="utf-8"))) if kept.exists() else []


def _lines(names: Sequence[str]) -> str:
    return "".join(f"\n  {name}" for name in names)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
