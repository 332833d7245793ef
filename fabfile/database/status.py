"""`fab db-status` from the wish to the exit code: one way to the host, one look or many, a screen, JSON or a page."""

from __future__ import annotations

from pathlib import Path

from fabfile.database import look
from fabfile.database.asking import place, snapshot
from fabfile.database.checks import acceptances, thresholds
from fabfile.database.findings import Report
from fabfile.errors import RefusedError
from fabfile.hosts.environment import Environment

LEAST_LIMIT, MOST_LIMIT = 0.1, 600.0


def run(
    environment: Environment, as_json: bool = False, watch: str = "", section: str = "", only: bool = False,
    html: str = "", limit: str = "",
) -> int:  # fmt: skip
    """The exit code of the last look. Raises RefusedError before anything is read, UnreachableError."""
    from fabfile.database.screen import watching

    names = look.chosen(section)
    seconds = watching.interval(watch)
    limit_ms = _limit(limit)
    database = place.of(environment)
    thresholds.of(database.overrides)
    accepted = acceptances.load(database.accepted)
    with look.Look(environment, database, accepted, limit_ms) as eye:
        if seconds:
            return _watched(eye, names, only, seconds)
        report = eye.again(names)
    _show(report, as_json, names, only)
    if html:
        from fabfile.database.screen import page

        page.write(report, Path(html))
    return report.exit_code


def _limit(text: str) -> int:
    """How long one query may take, in ms. Raises RefusedError."""
    if not text:
        return snapshot.TIMEOUT_MS
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not LEAST_LIMIT <= seconds <= MOST_LIMIT:
        raise RefusedError(
            f"--limit {text} is not a number of seconds from {LEAST_LIMIT:g} to {MOST_LIMIT:g}. Nothing was read."
        )
    return round(seconds * 1000)


def _show(report: Report, as_json: bool, names: tuple[str, ...], only: bool) -> None:
    if as_json:
        from fabfile.database.screen import encoding

        print(encoding.encoded(report))
        return
    from fabfile.database.screen import terminal

    terminal.show(report, only, names)


def _watched(eye: look.Look, names: tuple[str, ...], only: bool, seconds: float) -> int:
    from fabfile.database.screen import terminal, watching

    standing = watching.Standing()
    watch = watching.Watch(
        look=lambda: eye.again(names),
        draw=lambda report, out: terminal.drawn(
            report, out, only, names, standing.note(terminal.findings(report, names), report.taken)
        ),
        code=lambda report: report.exit_code,
        out=terminal.console(),
    )
    return watch.run(seconds)
