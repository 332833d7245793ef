"""`make test` ends with what each suite took, which tests needed a second try, and where it stopped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import steady, suites

REPORT = """<testsuites><testsuite>
<testcase time="1.0"/><testcase time="2.0"><skipped/></testcase>
<testcase time="60"><properties><property name="share" value="rollouts"/></properties></testcase>
<testcase time="40"><properties><property name="share" value="variants"/></properties></testcase>
</testsuite></testsuites>"""


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (steady, suites):
        monkeypatch.setattr(module, "KEPT", tmp_path)
    return tmp_path


def test_the_table_counts_tests_and_names_the_unsteady_and_the_share_of_a_long_suite(kept: Path) -> None:
    (kept / "e2e.xml").write_text(REPORT)
    (kept / "e2e.unsteady").write_text("tests/e2e/test_boot.py::test_a\n")
    lint, e2e = suites.Suite("lint", 0, 31.0), suites.Suite("e2e", 0, 90.0)
    for suite in (lint, e2e):
        suites.read_reports(suite)

    lines = [line.split() for line in suites.table([lint, e2e])]

    assert lines[1:] == [
        ["lint", "-", "-", "31", "passed"],
        ["e2e", "4", "1", "90", "passed"],
        ["of", "which", "rollouts'", "share", "1", "60"],
        ["of", "which", "variants'", "share", "1", "40"],
        ["UNSTEADY,", "to", "be", "mended:", "tests/e2e/test_boot.py::test_a"],
        ["all", "4", "1", "121", "2", "min", "1", "s"],
    ]


def test_the_first_suite_that_fails_ends_the_run_and_the_table_says_so(
    kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def make(words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(words, 2 if words[-1] == "unit" else 0)

    monkeypatch.setattr(subprocess, "run", make)

    assert suites.main("lint", "unit", "e2e") == 2

    ends = [line.split()[-1] for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert ends[1:4] == ["passed", "failed", "run"]


def test_a_test_that_passes_at_its_second_try_is_named(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "tests/e2e/test_web.py::test_mail[a@b.test]"
    cache = kept / "e2e.cache/v/cache/lastfailed"
    cache.parent.mkdir(parents=True)
    cache.write_text(json.dumps({name: True}))
    script = "import sys; sys.exit('--last-failed' not in sys.argv)"

    assert steady.main("e2e", sys.executable, "-c", script) == 0

    assert (kept / "e2e.unsteady").read_text() == f"{name}\n"
    assert f"UNSTEADY, passed at the second try:\n  {name}\n" in capsys.readouterr().out
