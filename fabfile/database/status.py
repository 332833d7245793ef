"""`fab db-status` from the wish to the exit code: one way to the host, one look or many, a screen, JSON or a page."""

from __future__ import annotations

from pathlib import Path

from fabfile.database import connection, look, place, thresholds
from fabfile.database.findings import Report
from fabfile.environment import Environment


def run(
    environment: Environment, as_json: bool = False, watch: str = "", section: str = "", only: bool = False,
    html: str = "",
) -> int:  # fmt: skip
    """The exit code of the last look. Raises RefusedError before anything is read, UnreachableError."""
    from fabfile.database import watching

    names = look.chosen(section)
    seconds = watching.interval(watch)
    database = place.of(environment)
    thresholds.of(database.overrides)
    live = look.live(environment, database)
    try:
        with connection.tunnel(database) as way:
            eye = look.Look(environment, way, live)
            if seconds:
                return _watched(eye, names, only, seconds)
            report = eye.again(names)
    finally:
        if live is not None:
            connection.end(live)
    _show(report, as_json, names, only)
    if html:
        from fabfile.database import page

        page.write(report, Path(html))
    return _code(report)


def _code(report: Report) -> int:
    return report.exit_code


def _show(report: Report, as_json: bool, names: tuple[str, ...], only: bool) -> None:
    if as_json:
        from fabfile.database import encoding

        print(encoding.encoded(report))
        return
    from fabfile.database import terminal

    terminal.show(report, only, names)


def _watched(eye: look.Look, names: tuple[str, ...], only: bool, seconds: float) -> int:
    from fabfile.database import terminal, watching

    standing = watching.Standing()
    watch = watching.Watch(
        look=lambda: eye.again(names),
        draw=lambda report, out: terminal.drawn(
            report, out, only, names, standing.note(terminal.findings(report, names), report.taken)
        ),
        code=_code,
        out=terminal.console(),
    )
    return watch.run(seconds)
