"""Items that somebody lives without for a time: doctor_accepted in the inventory, each with a reason and an end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from fabfile import accepted
from fabfile.errors import RefusedError
from fabfile.upkeep.doctor.judging import State, Verdict

NAME, NOTHING = "doctor_accepted", "Nothing was looked at."
NEEDED = {"item", "reason", "until"}
# {item: (reason, the last day on which it holds)}
Accepted = Mapping[str, tuple[str, date]]


def load(given: Any, items: Sequence[str]) -> Accepted:
    """What an inventory accepts. Raises RefusedError for what cannot be meant."""
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise RefusedError(f"{NAME} is no list of what is accepted. {NOTHING}")
    found = {}
    for row in given:
        if not isinstance(row, Mapping) or row.keys() != NEEDED:
            raise RefusedError(f"{NAME}: {row!r} has to have item, reason and until. {NOTHING}")
        name = str(row["item"])
        if name not in items:
            raise RefusedError(f"{NAME}: the list has no item {name!r}; docs/doctor.md has them. {NOTHING}")
        found[name] = accepted.terms(f"{NAME}: {name}", row, NOTHING)
    return found


def applied(name: str, verdict: Verdict, given: Accepted, today: date) -> Verdict:
    """What is not met and accepted counts as met until its day has passed; what is wrong or unseen never does."""
    if verdict.state is not State.NOT_MET or name not in given:
        return verdict
    reason, until = given[name]
    if today > until:
        return replace(verdict, evidence=f"accepted until {until}, which is over: {verdict.evidence}")
    return Verdict(State.ACCEPTED, f"until {until}: {reason}")
