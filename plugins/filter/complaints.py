"""What is wrong with the values of an inventory, a sentence part for each, before anything is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

KEYS = {"name", "value", "from", "to", "form", "holds", "as"}


def complaints(rows: list[dict[str, Any]]) -> list[str]:
    """One part of a sentence for each row that is wrong: `app_workers is 0, not a whole number from 1 to 64`.

    A row has name and value, and either from and to (whole numbers) or as (what it should be, for people) with
    form (a regular expression for the whole value, or for each element of a list) or holds (true or false).
    """
    return [complaint for complaint in map(complaint_of, rows) if complaint]


def complaint_of(row: dict[str, Any]) -> str:
    """The complaint about one row; empty when the value is good."""
    if unknown := set(row) - KEYS:
        raise AnsibleFilterError(f"complaints does not know {', '.join(sorted(unknown))}.")
    value = row["value"]
    if "from" in row:
        wanted = f"a whole number from {row['from']} to {row['to']}"
        good = bool(re.fullmatch(r"-?[0-9]+", str(value))) and row["from"] <= int(value) <= row["to"]
        return "" if good else f"{row['name']} is {value}, not {wanted}"
    elements = value if isinstance(value, (list, tuple)) else [value]
    if "holds" in row:
        wrong = [] if row["holds"] else elements
    else:
        wrong = [element for element in elements if not re.fullmatch(row["form"], str(element))]
    shown = ", ".join(repr(str(element)) for element in wrong)
    return f"{row['name']} is {shown}, not {row['as']}" if wrong else ""


def refusals(rows: list[dict[str, Any]]) -> list[str]:
    """The sentences of the rows that apply: a row has refuse (true or false), and say, read only where it is true."""
    return [" ".join(str(row["say"]).split()) for row in rows if row["refuse"]]


class FilterModule:
    """What Ansible loads from this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"complaints": complaints, "refusals": refusals}
