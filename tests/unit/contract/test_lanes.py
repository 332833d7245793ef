"""`make e2e` runs its tests side by side, each in one of the Makefile's lanes; nothing is forgotten or run twice."""

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LANE = re.compile(r"^(e2e-[a-z-]+):\n\t.*pytest -m \"([^$\"]+) \$\(BUT\)\" tests/e2e$", re.MULTILINE)
# What a test is marked with stands on its node when everything has been collected.
COLLECT = """
import sys, pytest
class Marks:
    def pytest_collection_finish(self, session):
        for item in session.items:
            print("MARKS", item.nodeid.replace(" ", "_"), *{mark.name for mark in item.iter_markers()})
sys.exit(pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", "tests/e2e"], plugins=[Marks()]))
"""


@pytest.fixture(scope="module")
def marks() -> dict[str, set[str]]:
    """The names of each end-to-end test's marks."""
    done = subprocess.run(
        [sys.executable, "-c", COLLECT], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("MARKS ")]
    return {name: set(found) for _, name, *found in lines}


def chosen(expression: str, marks: set[str]) -> bool:
    """Whether a test with these marks is chosen by pytest -m."""
    return bool(eval(expression, {"__builtins__": {}}, defaultdict(bool, dict.fromkeys(marks, True))))


def test_every_test_of_hosts_is_in_one_lane_of_make_e2e(marks: dict[str, set[str]]) -> None:
    lanes = dict(LANE.findall((ROOT / "Makefile").read_text()))
    assert len(lanes) > 3
    for name, of_test in marks.items():
        wanted = 1 if chosen("share or not long", of_test) else 0
        found = [lane for lane, expression in lanes.items() if chosen(expression, of_test)]
        assert len(found) == wanted, f"{name} is run by {found or 'none'}"


def test_make_e2e_runs_every_lane_that_the_makefile_has() -> None:
    text = (ROOT / "Makefile").read_text()
    run = re.findall(r"--jobs=\d --output-sync=target (.*)", text)
    lanes = re.findall(r"^(e2e-[a-z-]+):", text, re.MULTILINE)
    assert sorted(lanes) == sorted(word for line in run for word in line.split() if word in lanes)
