"""Tables as text: cells made fit to be shown, columns that fit the width."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from rich import box
from rich.cells import cell_len
from rich.table import Table as Drawn
from rich.text import Text

from fabfile.database import texts, units
from fabfile.database.findings import Table

# A column that names what a row is, though it is a number, measures nothing.
IDENTIFIERS = re.compile(r"\b(pid|id|oid|port|queryid|query_id|leader|version|major)s?\b", re.IGNORECASE)
# What is long, and goes below its row where there is a statement.
BELOW = ("query id", "waits for", "application", "query")
MOST_COLUMNS = 32
NUMBERS = (int, float, Decimal)


def cell(value: object) -> str:
    """One cell on one line: a moment in UTC to the second, a number with three decimals at most, None as a dash."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float() | Decimal():
            return f"{value:.3f}".rstrip("0").rstrip(".")
        case datetime():
            aware = value if value.tzinfo else value.replace(tzinfo=UTC)
            return aware.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
        case date():
            return value.isoformat()
        case timedelta():
            return units.duration(value.total_seconds())
        case list() | tuple():
            return ", ".join(cell(each) for each in value) or "-"
    text = str(value)
    # The indentation of a tree is ours.
    return " " * (len(text) - len(text.lstrip(" "))) + texts.plain(text)


def measure(column: str, value: object) -> str:
    """A cell with what its column's name says it is: bytes, seconds, ms, or a number for itself."""
    if isinstance(value, bool) or not isinstance(value, NUMBERS):
        return cell(value)
    unit = column.lower().split()[-1] if column else ""
    match unit:
        case "bytes" | "size":
            return units.size(float(value))
        case "seconds" | "s" | "age_seconds":
            return units.duration(float(value))
        case "ms" | "milliseconds":
            return units.milliseconds(float(value))
        case "%" | "percent" | "share":
            return f"{float(value):.1f} %"
    return units.count(value) if isinstance(value, int) and abs(value) >= 10_000 else cell(value)


def is_numeric(table: Table, column: int) -> bool:
    """Whether a column holds numbers and nothing else but gaps."""
    values = [row[column] for row in table.rows if row[column] is not None]
    return bool(values) and all(
        isinstance(value, NUMBERS) and not isinstance(value, bool) for value in values
    )


def drawn(table: Table, encoding: str = "utf-8") -> Drawn:
    """The table without a frame: a heading, right-aligned numbers, long texts folded."""
    shown = Drawn(
        box=None if encoding_is_narrow(encoding) else box.SIMPLE_HEAD, pad_edge=False, show_edge=False
    )
    for position, column in enumerate(table.columns):
        numeric = is_numeric(table, position)
        shown.add_column(
            heading(column),
            justify="right" if numeric else "left",
            no_wrap=numeric,
            overflow="fold",
            header_style="bold",
        )
    for row in table.rows:
        cells = (shown_cell(column, value) for column, value in zip(table.columns, row, strict=True))
        shown.add_row(*(Text(encodable(text, encoding)) for text in cells))
    return shown


def heading(column: str) -> str:
    """A column's name; a size says its unit in each cell."""
    return column.removesuffix(" bytes")


def with_statements(table: Table, width: int, encoding: str = "utf-8") -> Text:
    """The table of statements or sessions: a line of figures for each, and what is long on a line of its own below."""
    above = [at for at, name in enumerate(table.columns) if name not in BELOW]
    below = [at for at, name in enumerate(table.columns) if name in BELOW]
    cells = [
        [texts.shortened(shown_cell(table.columns[at], row[at]), MOST_COLUMNS) for at in above]
        for row in table.rows
    ]
    titles = [table.columns[at] for at in above]
    widths = [max(cell_len(line[at]) for line in (titles, *cells)) for at in range(len(above))]
    right = [is_numeric(table, at) for at in above]
    lines = Text(_aligned(titles, widths, right), style="bold")
    lines = Text().append_text(lines)
    for row, each in zip(table.rows, cells, strict=True):
        lines.append(f"\n{encodable(_aligned(each, widths, right), encoding)}")
        parts = [text for at in below if (text := shown_cell(table.columns[at], row[at])) not in ("", "-")]
        indent = "    " + " " * (len(each[0]) - len(each[0].lstrip(" "))) if each else "    "
        long = texts.shortened(encodable("  ".join(parts), encoding), max(20, width - len(indent)))
        lines.append(f"\n{indent}{long}" if parts else "", style="dim")
    return lines


def _aligned(line: list[str], widths: list[int], right: list[bool]) -> str:
    padded = [
        " " * (width - cell_len(text)) + text if to_right else text + " " * (width - cell_len(text))
        for text, width, to_right in zip(line, widths, right, strict=True)
    ]
    return "  ".join(padded).rstrip()


def shown_cell(column: str, value: object) -> str:
    """The cell as a table shows it; what names a row is copied by hand, so nothing is put between its figures."""
    return cell(value) if IDENTIFIERS.search(column) else measure(column, value)


def encoding_is_narrow(encoding: str) -> bool:
    """Whether a terminal of this encoding lacks letters that UTF-8 has."""
    return not encoding.lower().replace("-", "").startswith("utf")


def encodable(text: str, encoding: str) -> str:
    """The text with what the terminal cannot show written as \\xe9."""
    if not encoding_is_narrow(encoding):
        return text
    return text.encode(encoding, "backslashreplace").decode(encoding)
