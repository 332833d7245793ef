"""What `make test` leaves out is written in one place, which names tests that are there."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SLOW, pattern_of, slow_ones

ROOT = Path(__file__).resolve().parents[3]
SUITES = ("tests/unit", "tests/templates", "tests/database", "tests/e2e", "tests/lab")


@pytest.fixture(scope="module")
def tests() -> list[str]:
    """The id of every test."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *SUITES],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return [line for line in done.stdout.splitlines() if "::" in line]


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return [line for line in SLOW.read_text().splitlines() if line and not line.startswith("#")]


def test_every_line_names_tests_that_are_there(tests: list[str], lines: list[str]) -> None:
    forgotten = [line for line in lines if not any(pattern_of(line).fullmatch(name) for name in tests)]
    assert not forgotten, f"These lines of {SLOW.name} name no test: {forgotten}"


def test_a_module_is_left_out_whole_only_where_a_line_says_so(tests: list[str], lines: list[str]) -> None:
    is_slow = slow_ones()
    main = {name.partition("::")[0] for name in tests if not is_slow(name)}
    for module in {name.partition("::")[0] for name in tests} - main:
        assert f"{module}::*" in lines, f"make test runs nothing of {module}"


def test_the_last_line_that_fits_decides() -> None:
    is_slow = slow_ones()
    name = "tests/e2e/test_bad_input.py::test_it_is_refused_with_a_sentence_before_anything_changes"
    assert is_slow(f"{name}[a short secret of another]")
    assert not is_slow(f"{name}[a short secret]")


def test_every_line_of_the_service_names_a_test_that_is_there() -> None:
    service = ROOT / "service"
    for line in (service / "tests/slow.args").read_text().splitlines():
        path, _, name = line.removeprefix("--deselect=").partition("::")
        text = (service / path).read_text() if (service / path).is_file() else ""
        assert f"def {name.partition('[')[0]}" in text, f"{line} names no test"
