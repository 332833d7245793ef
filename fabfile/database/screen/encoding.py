"""A report as JSON, for programs: the form is docs/db-status.schema.json, and its version grows when it changes."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from fabfile.database import texts
from fabfile.database.findings import Finding, Report, Section

VERSION = 2


def encoded(report: Report) -> str:
    """One JSON object. Moments are ISO 8601 in UTC, levels are words, every text is safe to show."""
    return json.dumps(document(report), indent=2)


def document(report: Report) -> dict[str, Any]:
    """The object that encoded writes."""
    server = report.server
    return {
        "version": VERSION,
        "environment": report.environment,
        "database": report.database,
        "level": report.level.name.lower(),
        "exit_code": report.exit_code,
        "taken": report.taken.isoformat(),
        "seconds": round(report.seconds, 3),
        "server": {
            "host": server.host,
            "role": server.role,
            "version": server.version,
            "started": server.started.isoformat() if server.started else None,
            "note": texts.plain(server.note),
        },
        "sections": [_section(section) for section in report.sections],
    }


def _section(section: Section) -> dict[str, Any]:
    return {
        "name": section.name,
        "seconds": round(section.seconds, 3),
        "problem": section.problem,
        "findings": [_finding(finding) for finding in section.said],
        "tables": [
            {
                "title": table.title,
                "columns": list(table.columns),
                "rows": [[_cell(cell) for cell in row] for row in table.rows],
            }
            for table in section.tables
        ],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "check": finding.check,
        "level": finding.level.name.lower(),
        "sentence": texts.plain(finding.sentence),
        "command": finding.command,
        "runbook": finding.runbook,
        "value": finding.value,
        "warn": finding.warn,
        "critical": finding.critical,
        "unit": finding.unit,
        "subjects": [texts.plain(name) for name in finding.subjects],
        "accepted": texts.plain(finding.accepted),
    }


def _cell(cell: object) -> object:
    if cell is None or isinstance(cell, bool | int | float):
        return cell
    return cell.isoformat() if isinstance(cell, datetime) else texts.plain(cell)
