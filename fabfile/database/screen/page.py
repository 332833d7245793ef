"""A report as one page that stands alone: no script, nothing fetched, every text escaped; for an incident's record."""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from dataclasses import dataclass
from datetime import UTC
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fabfile.database import texts, units
from fabfile.database.findings import Finding, Level, Report, Section, Table, worst
from fabfile.database.screen import charts, tables, terminal
from fabfile.database.screen.charts import Chart
from fabfile.errors import RefusedError

FOLDER = Path(__file__).parent / "page"
TEMPLATE, STYLE = "report.html.j2", "style.css"


@dataclass(frozen=True)
class Drawn:
    """A table and its drawing, if it measures something."""

    table: Table
    chart: Chart | None


@dataclass(frozen=True)
class Part:
    """A section as the page shows it."""

    name: str
    level: Level
    findings: tuple[Finding, ...]
    drawn: tuple[Drawn, ...]
    problem: str


def write(report: Report, path: Path) -> None:
    """Write the page, whole or not at all, readable to its owner. Raises RefusedError where it cannot be written."""
    if path.is_dir():
        raise RefusedError(
            f"{path} is a folder: name a file, such as {path / 'db-status.html'}. Nothing was written."
        )
    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:80]}.")
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(html(report))
        os.replace(temporary, path)
    except OSError as failure:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise RefusedError(f"{path} cannot be written: {failure.strerror}. Nothing was written.") from None


def html(report: Report) -> str:
    """The page's text."""
    found = terminal.findings(report)
    style = Markup((FOLDER / STYLE).read_text(encoding="utf-8"))  # noqa: S704 (our own file)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return _templates().get_template(TEMPLATE).render(
        report=report,
        level=worst(finding.level for finding in found),
        counts={level: sum(each.level is level for each in found) for level in Level},
        problems=[finding for finding in found if finding.level is not Level.OK],
        nearness=charts.nearness(found),
        parts=[_part(section) for section in report.sections],
        taken=report.taken.astimezone(UTC),
        style=style,
        digest=digest,
        shapes={"width": charts.WIDTH, "label": charts.LABEL, "space": charts.SPACE},
    )  # fmt: skip


def _part(section: Section) -> Part:
    drawn = tuple(Drawn(table, charts.of_table(table)) for table in section.tables)
    level = worst(finding.level for finding in section.findings)
    return Part(
        section.name,
        Level.UNKNOWN if section.problem and level is Level.OK else level,
        section.findings,
        drawn,
        section.problem,
    )


@cache
def _templates() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "plain": texts.plain,
        "duration": units.duration,
        "moment": tables.cell,
        "runbook": lambda path: f"{terminal.RUNBOOKS}/{path.removeprefix(terminal.RUNBOOKS + '/')}",
    }
    made.globals |= {
        "is_numeric": tables.is_numeric,
        "cell": tables.shown_cell,
        "heading": tables.heading,
        "Level": Level,
    }
    return made
