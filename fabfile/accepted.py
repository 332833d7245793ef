"""What somebody lives with for a time: each acceptance has a reason in words and a day on which it ends."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from fabfile.errors import RefusedError

SHORTEST_REASON = 10


def terms(what: str, row: Mapping[str, Any], nothing: str) -> tuple[str, date]:
    """(The reason, the last day on which it holds). what: the acceptance, as a sentence's subject.

    nothing: how the refusal ends, such as "Nothing was changed." Raises RefusedError.
    """
    reason, until = str(row["reason"]).strip(), _day(row["until"])
    if until is not None and len(reason) >= SHORTEST_REASON:
        return reason, until
    raise RefusedError(f"{what} needs a reason in words and a day such as 2027-01-31. {nothing}")


def _day(value: object) -> date | None:
    """A day, as YAML reads it or as text; a moment is none."""
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            return None
    return value if isinstance(value, date) and not isinstance(value, datetime) else None
