"""A watch of made-up reports, run as a program of its own by the tests: python -m tests.database.watched LEVEL..."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from fabfile.database.findings import Finding, Level, Report, Section
from fabfile.database.screen import terminal
from fabfile.database.screen.watching import Standing, Watch
from fabfile.errors import FabError
from tests.database import sample


def looks(words: list[str]) -> Iterator[Report]:
    """A report for each word, each a minute after the one before; the last again and again."""
    for number, word in enumerate(words + [words[-1]] * 10_000):
        if word == "LOST":
            yield replace(sample.report(), environment="LOST")
            continue
        finding = Finding("connections", Level[word], f"Look {number} says {word}.", "fab db-activity")
        report = sample.report(Section("sessions", (finding,)))
        yield replace(report, taken=sample.TAKEN + timedelta(minutes=number))


def main(words: list[str]) -> int:
    coming, standing, out = looks(words), Standing(), terminal.console()

    def look() -> Report:
        report = next(coming)
        if report.environment == "LOST":
            raise FabError("The connection was lost.")
        standing.note(report.findings, report.taken)
        return report

    return Watch(
        look,
        lambda report, out: terminal.drawn(report, out, since=standing.since),
        lambda report: report.exit_code,
        out,
    ).run(0.05)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
