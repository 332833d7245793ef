"""docs/faults-on-hosts.md: what became of each fault.

Tests keep what they saw in build/e2e/faults.json; `python -m tests.e2e.host_faults` writes it into the page. A row that
was not made anew keeps what it had, unless something else was promised then.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any

from tests.e2e.ansible_runs import ROOT
from tests.e2e.host_faults.fault import Fault, Row, Shown
from tests.e2e.host_faults.measures import broken, promised, said

KEPT = ROOT / "build/e2e/faults.json"
PAGE = ROOT / "docs/faults-on-hosts.md"
BEGIN, END = "<!-- faults -->\n", "<!-- /faults -->\n"
HEAD = "| fault | what is done | promise | measured | held |\n| --- | --- | --- | --- | --- |\n"
# In this order, where they are not 0.
SHOWN_FIRST = ("back", "slowest", "refused", "cut", "unconnected")
CELLS = 5


def keep(name: str, found: Mapping[str, Any]) -> None:
    """Remember what a row's test found today."""
    rows = kept()
    rows[name] = {**found, "on": datetime.datetime.now(datetime.UTC).date().isoformat()}
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    KEPT.write_text(json.dumps(rows, indent=2))


def count(name: str, test: str, passed: bool) -> None:
    """Remember how a test that shows a row ended."""
    keep(name, {"tests": {**kept().get(name, {}).get("tests", {}), test: passed}})


def kept() -> dict[str, Any]:
    """What is remembered, by row."""
    found: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    return found


def cells(row: Row, found: Mapping[str, Any] | None) -> list[str]:
    """A row of the table. found: what is remembered of it."""
    first = [f"`{row.name}`", row.fault]
    if found and "skipped" in found:
        promise = promised(row.promise) if isinstance(row, Fault) else getattr(row, "promise", "")
        return [*first, promise, f"not made: {found['skipped']}", ""]
    if isinstance(row, Fault):
        promise = promised(row.promise)
        if found is None:
            return [*first, promise, "not run yet", ""]
        wrong = broken(row.promise, found["measured"])
        return [*first, promise, f"{_measured(found['measured'])}; {found['on']}", _held(wrong)]
    if isinstance(row, Shown):
        by = ", ".join(
            f"`{test.removeprefix('tests/e2e/').partition('[')[0].removesuffix('::')}`" for test in row.tests
        )
        if found is None:
            return [*first, row.promise, f"not run yet: {by}", ""]
        ended = found["tests"].values()
        wrong = [] if all(ended) else [f"{len(ended) - sum(ended)} failed"]
        return [
            *first,
            row.promise,
            f"{sum(ended)} of {len(ended)} tests passed: {by}; {found['on']}",
            _held(wrong),
        ]
    return [*first, "", f"not made: {row.reason}", ""]


def _held(wrong: list[str]) -> str:
    return f"no: {', '.join(wrong)}" if wrong else "yes"


def _measured(found: Mapping[str, float]) -> str:
    names = [*SHOWN_FIRST, *(name for name in found if name not in SHOWN_FIRST)]
    some = [
        said(name, found[name]) for name in names if name not in ("requests", "lines") and found.get(name)
    ]
    of = f"{found['requests']:.0f} requests, {found['lines']:.0f} lines"
    return ", ".join([of, *some])


def table(rows: tuple[Row, ...], found: Mapping[str, Any], before: str) -> str:
    """The table's text. before: the page as it was."""
    old = {each[0]: each for line in before.splitlines() if len(each := _split(line)) == CELLS}
    lines = []
    for row in rows:
        new = cells(row, found.get(row.name))
        was = old.get(new[0], [])
        # Not run since, and nothing else was promised.
        if row.name not in found and was[1:3] == new[1:3]:
            new = was
        lines.append(f"| {' | '.join(new)} |\n")
    return HEAD + "".join(lines)


def _split(line: str) -> list[str]:
    return (
        [cell.strip() for cell in line.strip().removeprefix("| ").removesuffix(" |").split(" | ")]
        if line.startswith("| `")
        else []
    )


def write(rows: tuple[Row, ...]) -> None:
    """Put the table into the page."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    PAGE.write_text(head + BEGIN + table(rows, kept(), text) + END + rest.partition(END)[2], encoding="utf-8")
