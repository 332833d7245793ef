"""A report as one screen for somebody who was woken: verdict, what is wrong worst first, the rest in a line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import IO

from rich.console import Console, Group, RenderableType
from rich.text import Text

from fabfile.database import texts, units
from fabfile.database.findings import Finding, Level, Report, Section, worst
from fabfile.database.screen import tables

STYLES = {
    Level.OK: "bold green",
    Level.WARN: "bold yellow",
    Level.CRITICAL: "bold white on red",
    Level.UNKNOWN: "bold magenta",
}
NAMES = {Level.OK: "ok", Level.WARN: "warning", Level.CRITICAL: "critical", Level.UNKNOWN: "unknown"}
INDENT = 10
RUNBOOKS = "docs/runbooks"
# What goes into a pipe is for grep and for pasting: a sentence stays one line.
UNFOLDED = 1000


def console(stream: IO[str] | None = None) -> Console:
    """Where to print: colours on a terminal only, never against NO_COLOR; unfolded lines into a pipe."""
    made = Console(file=stream, highlight=False, markup=False, emoji=False)
    if not made.is_terminal and not os.environ.get("COLUMNS"):
        made.width = UNFOLDED
    return made


def findings(report: Report, sections: Sequence[str] = ()) -> list[Finding]:
    """All findings of the sections, worst first; what is wrong with the server itself concerns every section."""
    chosen = tuple(part for part in report.sections if not sections or part.name in sections)
    if sections and "server" not in sections:
        wrong = (finding for part in report.sections if part.name == "server" for finding in part.said)
        chosen = (Section("server", tuple(each for each in wrong if each.level is not Level.OK)), *chosen)
    return replace(report, sections=chosen).findings


def show(
    report: Report,
    only_problems: bool = False,
    sections: Sequence[str] = (),
    stream: IO[str] | None = None,
) -> None:
    """Print the screen; with sections, every line and table of these alone."""
    out = console(stream)
    out.print(drawn(report, out, only_problems, sections), soft_wrap=True)


def drawn(
    report: Report,
    out: Console,
    only_problems: bool = False,
    sections: Sequence[str] = (),
    since: Mapping[str, datetime] | None = None,
) -> RenderableType:
    """The screen. since: when each check that is not OK was first seen so, while watching."""
    found = findings(report, sections)
    lines: list[RenderableType] = [*_verdict(report, found, sections, out)]
    for finding in found:
        if finding.counts_as is not Level.OK:
            stood = (report.taken - since[finding.check]) if since and finding.check in since else None
            lines += [
                Text(""),
                *_problem(finding, out, units.duration(stood.total_seconds()) if stood else ""),
            ]
    if accepted := [finding for finding in found if finding.accepted]:
        lines += [Text(""), *(line for finding in accepted for line in _accepted(finding, out))]
    if not only_problems:
        lines += [Text(""), *(_each_ok(found, out) if sections else _folded(report, found, out))]
    for part in report.sections:
        if part.name in sections:
            lines += _tables(part, out)
    return Group(*lines)


def _verdict(report: Report, found: Sequence[Finding], sections: Sequence[str], out: Console) -> list[Text]:
    level = worst(finding.counts_as for finding in found)
    server = report.server
    is_what = {"down": "is down", "unseen": "lets nobody look"}.get(server.role, f"is a {server.role}")
    version = f" of PostgreSQL {server.version}" if server.version else ""
    lines = _labelled(
        level, f"{report.environment}: {report.database} on {server.host} {is_what}{version}.", out
    )
    counts = [
        f"{number} {NAMES[one]}{'s' if one is Level.WARN and number > 1 else ''}"
        for one in sorted(Level, key=_rank, reverse=True)
        if (number := sum(each.counts_as is one for each in found if not each.accepted))
    ]
    if accepted := sum(bool(each.accepted) for each in found):
        counts.append(f"{accepted} accepted")
    taken = report.taken.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    apart = f" in {', '.join(sections)} alone" if sections else ""
    up = f", up {units.duration((report.taken - server.started).total_seconds())}" if server.started else ""
    more = (
        f"{', '.join(counts) or 'nothing to say'}{apart}. Looked at {taken}, in {report.seconds:.1f} s{up}."
    )
    lines += _indented(more, out, "")
    return lines + (_indented(f"{server.note.rstrip('.')}.", out, "yellow") if server.note else [])


def _rank(level: Level) -> int:
    return level.rank


def _problem(finding: Finding, out: Console, stood: str) -> list[Text]:
    lines = _labelled(finding.level, finding.sentence, out)
    if stood:
        lines += _indented(f"seen for {stood}", out, "dim")
    # Never folded: a command is copied whole, and the terminal itself folds what is too long.
    if finding.command:
        lines.append(_line("type", finding.command, "bold", out))
    if finding.runbook:
        lines.append(_line("read", f"{RUNBOOKS}/{finding.runbook.removeprefix(RUNBOOKS + '/')}", "", out))
    return lines


def _accepted(finding: Finding, out: Console) -> list[Text]:
    said = f"{finding.sentence.rstrip('.')} ({finding.level.name.lower()}). Accepted {finding.accepted}."
    first, *rest = _wrapped(said, out)
    label = Text.assemble(("accepted", "dim"), " " * (INDENT - len("accepted")), (first.plain, "dim"))
    return [label, *(Text(" " * INDENT + line.plain, style="dim") for line in rest)]


def _line(word: str, text: str, style: str, out: Console) -> Text:
    said = tables.encodable(texts.plain(text), out.encoding)
    return Text.assemble(" " * INDENT, (f"{word}  ", "dim"), (said, style))


def _folded(report: Report, found: Sequence[Finding], out: Console) -> list[Text]:
    parts = []
    for part in report.sections:
        right = sum(finding.level is Level.OK for finding in part.findings)
        parts += [f"{part.name} {right}"] if right else []
    right = sum(finding.level is Level.OK for finding in found)
    return _labelled(Level.OK, f"{right} checks: {', '.join(parts)}.", out) if parts else []


def _each_ok(found: Sequence[Finding], out: Console) -> list[Text]:
    return [
        line
        for finding in found
        if finding.level is Level.OK
        for line in _labelled(Level.OK, finding.sentence, out)
    ]


def _tables(part: Section, out: Console) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for table in part.tables:
        lines += [
            Text(""),
            Text(tables.encodable(texts.plain(table.title), out.encoding), style="bold underline"),
        ]
        if "query" in table.columns and table.rows:
            lines.append(tables.with_statements(table, out.width, out.encoding))
        else:
            lines.append(tables.drawn(table, out.encoding) if table.rows else Text("none", style="dim"))
    return lines


def _labelled(level: Level, sentence: str, out: Console) -> list[Text]:
    first, *rest = _wrapped(sentence, out)
    label = Text.assemble((level.name, STYLES[level]), " " * (INDENT - len(level.name)), first)
    return [label, *(Text(" " * INDENT).append_text(line) for line in rest)]


def _indented(text: str, out: Console, style: str) -> list[Text]:
    return [Text(" " * INDENT).append_text(Text(line.plain, style=style)) for line in _wrapped(text, out)]


def _wrapped(sentence: str, out: Console) -> list[Text]:
    said = Text(tables.encodable(texts.plain(sentence), out.encoding))
    lines = list(said.wrap(out, max(20, out.width - INDENT))) or [Text("")]
    for line in lines:
        line.rstrip()
    return lines
