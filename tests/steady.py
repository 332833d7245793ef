"""Run a suite; what failed of it is tried once more, alone, and named: python -m tests.steady SUITE FOLDER COMMAND...

The suites start clusters, hosts and clients by the hundred on machines shared with others. A test that needs its
second try is printed as unsteady, to be mended; more than a few failures are no accident and end the run at once.
build/suites/ keeps what a suite did, for the table of `python -m tests.suites`.
"""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

KEPT = Path(__file__).resolve().parent.parent / "build/suites"
MOST_ACCIDENTS = 3
FAILED_TESTS = 1
# What pytest-xdist appends to the name of a test that one worker has to itself.
GROUP = re.compile(r"@[a-z ]+$")


def main(suite: str, folder: str, *command: str) -> int:
    """The exit code of the suite. folder: where its .pytest_cache is."""
    KEPT.mkdir(parents=True, exist_ok=True)
    unsteady = KEPT / f"{suite}.unsteady"
    unsteady.unlink(missing_ok=True)
    # What an earlier run left in the cache is not what failed now.
    status = subprocess.run([*command, "--cache-clear", f"--junitxml={KEPT / suite}.xml"]).returncode
    failed = _failed(Path(folder))
    if status != FAILED_TESTS or not 0 < len(failed) <= MOST_ACCIDENTS:
        return status
    print(f"\nOnce more, alone:{_lines(failed)}", flush=True)
    _last_failed(Path(folder)).write_text(json.dumps(dict.fromkeys(failed, True)))
    again = [*command, "-n0", "--last-failed", "--last-failed-no-failures=none"]
    status = subprocess.run(again).returncode
    if status == 0:
        unsteady.write_text("".join(f"{name}\n" for name in failed))
        print(f"\nUNSTEADY, passed at the second try:{_lines(failed)}", flush=True)
    return status


def _failed(folder: Path) -> Sequence[str]:
    kept = _last_failed(folder)
    names = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else []
    return sorted(GROUP.sub("", name) for name in names)


def _last_failed(folder: Path) -> Path:
    return folder / ".pytest_cache/v/cache/lastfailed"


def _lines(names: Sequence[str]) -> str:
    return "".join(f"\n  {name}" for name in names)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
