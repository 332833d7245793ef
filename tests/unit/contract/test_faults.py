"""docs/faults.md has a row for each finding about hosts, and each test that it names is there."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.unit.contract.repository import ROOT

TEXT = (ROOT / "docs/faults.md").read_text(encoding="utf-8")
ROWS = [re.split(r"(?<!\\\\)\|", line)[1:-1] for line in TEXT.splitlines() if line.startswith("| ")]
FINDINGS = [
    *(
        f"roles {name}"
        for name in ("U0", "U0b", "U0c", "U0d", "U12b", *(f"U{number}" for number in range(1, 28)))
    ),
    *(f"roles E{number}" for number in range(1, 8)),
    *(f"roles S{number}" for number in range(4, 9)),
    *(f"roles M{number}" for number in range(2, 10)),
    "roles §6",
    *(f"case {number}" for number in (3, 7, 8, 12, 16, 17, 18, 21, 22, 26)),
    *(f"case P{number}" for number in range(9, 15)),
]


def named() -> Iterator[str]:
    """Every finding that a row is about: `roles U9, U12` is two."""
    for row in ROWS:
        kind = ""
        for part in row[0].strip().split(", "):
            words = part.split()
            if len(words) > 1 and words[0] in ("roles", "case", "rollout"):
                kind, part = words[0], words[1]
            yield f"{kind} {part}".strip()


@pytest.mark.parametrize("finding", FINDINGS)
def test_every_finding_about_hosts_has_a_row(finding: str) -> None:
    assert finding in set(named())


def test_a_row_says_what_it_was_and_by_what_it_is_shown_or_that_it_is_open() -> None:
    silent = [row[0].strip() for row in ROWS if len(row) != 4 or not row[1].strip() or not row[3].strip()]
    assert silent == []


def test_every_test_that_a_row_names_is_there() -> None:
    missing = []
    for row in ROWS:
        path = ""
        for name, test in re.findall(r"`([\w/.-]+\.py)?(?:::(\w+))?`", row[3]):
            path = name or path
            file = ROOT / path
            if (
                not path
                or not file.is_file()
                or (test and f"def {test}(" not in file.read_text(encoding="utf-8"))
            ):
                missing.append(f"{row[0].strip()}: {path}::{test}")
    assert missing == []
