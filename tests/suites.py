"""Run suites one after the other and print what each took: python -m tests.suites SUITE...

A suite is a target of the Makefile. The first that fails ends the run, and the table says so.
"""

from __future__ import annotations

import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.steady import KEPT

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Suite:
    """What one target did. seconds: of the whole target; tests, skipped: counted in its reports."""

    name: str
    status: int | None = None
    seconds: float = 0.0
    tests: int = 0
    skipped: int = 0
    unsteady: list[str] = field(default_factory=list)
    shares: dict[str, Suite] = field(default_factory=dict)

    @property
    def said(self) -> str:
        """How it ended, in a word."""
        if self.status is None:
            return "not run"
        return "failed" if self.status else "passed"


def main(*names: str) -> int:
    """The exit code of the first suite that failed, 0 when none did."""
    for kept in (*KEPT.glob("*.xml"), *KEPT.glob("*.unsteady")):
        kept.unlink()
    suites = [Suite(name) for name in names]
    for suite in suites:
        began = time.monotonic()
        suite.status = subprocess.run(["make", "--no-print-directory", suite.name], cwd=ROOT).returncode
        suite.seconds = time.monotonic() - began
        read_reports(suite)
        if suite.status:
            break
    print("\n".join(table(suites)), flush=True)
    return next((suite.status for suite in suites if suite.status), 0)


def read_reports(suite: Suite) -> None:
    """Count a suite's tests, those of long suites apart, and name those that needed a second try."""
    for report in sorted(KEPT.glob(f"{suite.name}*.xml")):
        for case in ElementTree.parse(report).iter("testcase"):
            suite.tests += 1
            suite.skipped += case.find("skipped") is not None
            for each in case.iter("property"):
                if each.get("name") == "share":
                    long = each.get("value", "")
                    share = suite.shares.setdefault(long, Suite(f"of which {long}' share", suite.status))
                    share.tests += 1
                    share.seconds += float(case.get("time", "0"))
    for kept in sorted(KEPT.glob(f"{suite.name}*.unsteady")):
        suite.unsteady += kept.read_text().splitlines()


def table(suites: Sequence[Suite]) -> Iterator[str]:
    """The lines of the table; the last is the sum."""
    yield f"\n{'suite':26} {'tests':>6} {'skipped':>8} {'seconds':>8}"
    for suite in suites:
        yield f"{suite.name:26} {suite.tests or '-':>6} {suite.skipped or '-':>8} {suite.seconds:8.0f}  {suite.said}"
        for share in suite.shares.values():
            yield f"  {share.name:24} {share.tests:>6} {'':>8} {share.seconds:8.0f}"
        yield from (f"  UNSTEADY, to be mended: {name}" for name in suite.unsteady)
    seconds = sum(suite.seconds for suite in suites)
    tests, skipped = sum(suite.tests for suite in suites), sum(suite.skipped for suite in suites)
    minutes = f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    yield f"{'all':26} {tests:>6} {skipped:>8} {seconds:8.0f}  {minutes}"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
