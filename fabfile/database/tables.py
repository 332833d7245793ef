"""Tables as text: cells made fit to be shown, columns that fit the width."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from rich import box
from rich.table import Table as Drawn
from rich.text import Text

from fabfile.database import texts, units
from fabfile.database.findings import Table

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
    return texts.plain(value)


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
            column,
            justify="right" if numeric else "left",
            no_wrap=numeric,
            overflow="fold",
            header_style="bold",
        )
    for row in table.rows:
        shown.add_row(*(Text(encodable(cell(value), encoding)) for value in row))
    return shown


def encoding_is_narrow(encoding: str) -> bool:
    """Whether a terminal of this encoding lacks letters that UTF-8 has."""
    return not encoding.lower().replace("-", "").startswith("utf")


def encodable(text: str, encoding: str) -> str:
    """The text with what the terminal cannot show written as \\xe9."""
    if not encoding_is_narrow(encoding):
        return text
    return text.encode(encoding, "backslashreplace").decode(encoding)
