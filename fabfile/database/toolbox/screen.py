"""What the toolbox reads, as it is printed: tables that fit the width, then what there is to say of them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.text import Text

from fabfile.database.findings import Table
from fabfile.database.screen import tables
from fabfile.database.toolbox import activity as activities
from fabfile.database.toolbox.readings import Reading


def tables_of(reading: Reading, out: Console) -> RenderableType:
    """Every table under its title, and the note last, where the eye is when the prompt comes back."""
    parts: list[RenderableType] = []
    for table in reading.tables:
        parts += [*_titled(table, out), Text("")]
    return Group(*parts, *([_said(reading.note, out)] if reading.note else []))


def activity(
    sessions: Sequence[activities.Session], environment: str, with_idle: bool, out: Console
) -> RenderableType:
    """What there is to say of the sessions, and their tree."""
    said = [_said(sentence, out) for sentence in activities.sentences(sessions, environment)]
    return Group(*said, Text(""), _drawn(activities.table(sessions, with_idle), out))


def _titled(table: Table, out: Console) -> list[RenderableType]:
    return [Text(tables.encodable(table.title, out.encoding), style="bold underline"), _drawn(table, out)]


def _drawn(table: Table, out: Console) -> RenderableType:
    if not table.rows:
        return Text("none", style="dim")
    if "query" in table.columns:
        return tables.with_statements(table, out.width, out.encoding)
    return tables.drawn(table, out.encoding)


def _said(sentence: str, out: Console) -> Text:
    # A command is copied whole, so it is never folded.
    is_command = sentence.startswith(" ")
    return Text(
        tables.encodable(sentence, out.encoding),
        style="bold" if is_command else "",
        no_wrap=is_command,
        overflow="ignore" if is_command else "fold",
    )
