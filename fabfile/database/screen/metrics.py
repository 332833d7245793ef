"""A report as metrics: what each check says, for node-exporter's textfile folder (docs/monitoring.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from fabfile.database import texts
from fabfile.database.findings import Finding, Level, Report

# Of one check that is not right; its worst come first.
MOST_FINDINGS = 3
MOST_CHARACTERS = 500
HELP = {
    "slipway_database_check_level": "What a check of fab db-status says: 0 ok, 1 warning, 2 critical, 3 not known.",
    "slipway_database_check_value": "The number that a check was judged by, in its unit.",
    "slipway_database_finding": "1 for each finding that is not right, with its sentence and what to type.",
    "slipway_database_look_timestamp_seconds": "When the database was looked at.",
    "slipway_database_look_duration_seconds": "How long the look took.",
}


def encoded(report: Report, app: str) -> str:
    """The text exposition format, all of it with the label app."""
    samples: dict[str, list[str]] = {name: [] for name in HELP}
    findings = report.findings
    for check in sorted({finding.check for finding in findings}):
        said = [finding for finding in findings if finding.check == check]
        for name, sample in _of_check(app, check, said):
            samples[name].append(sample)
    labels = {"app": app}
    samples["slipway_database_look_timestamp_seconds"].append(_labelled(labels, report.taken.timestamp()))
    samples["slipway_database_look_duration_seconds"].append(_labelled(labels, report.seconds))
    return "".join(_lines(samples))


def _of_check(app: str, check: str, said: list[Finding]) -> Iterator[tuple[str, str]]:
    """said: the check's findings, worst first."""
    labels = {"app": app, "check": check}
    yield "slipway_database_check_level", _labelled(labels, said[0].counts_as.value)
    if (value := said[0].value) is not None:
        yield "slipway_database_check_value", _labelled({**labels, "unit": said[0].unit}, value)
    for finding in [one for one in said if one.counts_as is not Level.OK][:MOST_FINDINGS]:
        told = {
            "level": finding.level.name.lower(),
            "sentence": texts.plain(finding.sentence)[:MOST_CHARACTERS],
            "command": finding.command,
            "runbook": finding.runbook,
        }
        yield "slipway_database_finding", _labelled({**labels, **told}, 1)


def _lines(samples: Mapping[str, Iterable[str]]) -> Iterator[str]:
    for name, rows in samples.items():
        yield f"# HELP {name} {HELP[name]}\n# TYPE {name} gauge\n"
        yield from (f"{name}{row}\n" for row in dict.fromkeys(rows))


def _labelled(labels: Mapping[str, str], value: float) -> str:
    inside = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
    return f"{{{inside}}} {value:.17g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
