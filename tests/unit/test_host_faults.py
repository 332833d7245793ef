"""The page of faults says what was promised, what was measured, whether it held; and nothing that was not seen."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.host_faults import page, table
from tests.e2e.host_faults.fault import Fault, Left, Row, Scene, Shown
from tests.e2e.host_faults.measures import ALWAYS, WORDS, broken, of_requests, promised
from tests.e2e.load import Answer, Loss, Seen

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = {
    *(f"F{number}" for number in (1, 2, 3, 7, 8, 11, 14, *range(19, 24), *range(29, 36), 37, 39)),
    *(f"H{number}" for number in (1, 2, 3, 7, 16, 17)),
}


def nothing(scene: Scene) -> None:
    """No fault."""


MADE = Fault("F1:a", "a is killed", nothing, {"cut": 0, "back": 10})
SHOWN = Shown("F2:b", "b is killed", "nothing is lost", ("tests/e2e/test_b.py::test_it",))
LEFT = Left("F3:c", "c is killed", "there is no c")
WELL: dict[str, float] = {
    **dict.fromkeys(ALWAYS, 0),
    "requests": 900,
    "lines": 70,
    "cut": 0,
    "back": 3.14,
    "slowest": 1,
}


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[str]]]:
    """What the page's table has of the three rows, after each writing."""
    monkeypatch.setattr(page, "KEPT", tmp_path / "build/faults.json")
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    page.PAGE.write_text(f"Before.\n{page.BEGIN}{page.END}After.\n")

    def cells() -> list[list[str]]:
        page.write((MADE, SHOWN, LEFT))
        text = page.PAGE.read_text()
        assert text.startswith("Before.\n")
        assert text.endswith("After.\n")
        rows = [line for line in text.splitlines() if line.startswith("| `")]
        return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]

    return cells


def test_what_was_not_run_is_said_to_be_not_run(kept: Callable[[], list[list[str]]]) -> None:
    made, shown, left = kept()
    assert made == ["`F1:a`", "a is killed", "0 requests cut, all served ≤ 10 s after", "not run yet", ""]
    assert shown[2:] == ["nothing is lost", "not run yet: `test_b.py::test_it`", ""]
    assert left[2:] == ["", "not made: there is no c", ""]


def test_what_held_is_there_with_its_numbers_and_stays_when_it_is_not_run_again(
    kept: Callable[[], list[list[str]]],
) -> None:
    page.keep(MADE.name, {"measured": WELL})
    page.count(SHOWN.name, "test_b.py::test_it[1]", passed=True)
    page.count(SHOWN.name, "test_b.py::test_it[2]", passed=True)
    made, shown, _ = before = kept()
    assert made[3].startswith("900 requests, 70 lines, all served 3.1 s after, the slowest answer 1 s; 2")
    assert shown[3].startswith("2 of 2 tests passed: `test_b.py::test_it`; 2")
    assert made[4] == shown[4] == "yes"

    page.KEPT.unlink()
    assert kept() == before


def test_what_did_not_hold_is_said_with_what_was_too_much(kept: Callable[[], list[list[str]]]) -> None:
    page.keep(MADE.name, {"measured": {**WELL, "cut": 2, "500s": 1, "back": float("inf")}})
    page.count(SHOWN.name, "test_b.py::test_it[1]", passed=True)
    page.count(SHOWN.name, "test_b.py::test_it[2]", passed=False)
    made, shown, _ = kept()
    assert made[4] == "no: 1 answers 500, 2 requests cut, not served again by itself"
    assert shown[4] == "no: 1 failed"


def test_what_was_measured_for_another_promise_is_not_taken_for_this_one(
    kept: Callable[[], list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    page.keep(MADE.name, {"measured": WELL})
    kept()
    page.KEPT.unlink()
    monkeypatch.setitem(MADE.promise, "back", 5)
    assert kept()[0][3] == "not run yet"


def test_a_host_that_cannot_make_a_fault_says_why(kept: Callable[[], list[list[str]]]) -> None:
    page.keep(MADE.name, {"skipped": "this kernel has none"})
    assert kept()[0][3:] == ["not made: this kernel has none", ""]


def test_a_promise_that_was_not_measured_is_broken() -> None:
    assert broken({"held": 12}, WELL) == ["held was not measured"]
    assert broken({"cut": 0}, {}) == [f"{name} was not measured" for name in (*ALWAYS, "cut")]


def test_customers_say_when_the_last_of_them_was_served_again() -> None:
    answers = [(1.0, 200), (2.0, 201), (4.5, 503), (6.0, 502), (7.0, 500), (9.0, 429), (11.0, 200)]
    seen = Seen(
        [Answer(at - 0.5, at, status, "r", "k") for at, status in answers],
        [Loss(7.0, 12.5, refused=False, reason="cut"), Loss(8.0, 8.1, refused=True, reason="refused")],
    )
    assert dict(of_requests(seen, 3.0)) == {
        "requests": 9, "500s": 1, "refused": 2, "odd": 1, "cut": 1, "unconnected": 1, "back": 9.5, "slowest": 0.5,
    }  # fmt: skip
    assert dict(of_requests(Seen(seen.answers[:2]), 3.0))["back"] == 0


def test_every_number_of_the_catalogue_has_a_row_and_every_row_a_name_of_its_own() -> None:
    names = [row.name for row in table.ROWS]
    assert {name.partition(":")[0] for name in names} == NUMBERS
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "row", [row for row in table.ROWS if isinstance(row, Fault)], ids=lambda row: row.name
)
def test_every_promise_has_words(row: Fault) -> None:
    assert set(row.promise) <= set(WORDS)
    assert promised(row.promise)


@pytest.mark.parametrize(
    "row", [row for row in table.ROWS if isinstance(row, Shown)], ids=lambda row: row.name
)
def test_every_test_that_a_row_names_is_there(row: Row) -> None:
    assert isinstance(row, Shown)
    for test in row.tests:
        path, _, name = test.partition("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        defined = [each.name for each in tree.body if isinstance(each, ast.FunctionDef)]
        wanted = name.partition("[")[0] or "test_"
        assert any(each.startswith(wanted) for each in defined), test
        assert row.name in table.named_by(f"{test}more")


def test_the_page_has_every_row() -> None:
    text = (ROOT / "docs/faults-on-hosts.md").read_text(encoding="utf-8")
    assert [row.name for row in table.ROWS if f"| `{row.name}` | {row.fault} |" not in text] == []
