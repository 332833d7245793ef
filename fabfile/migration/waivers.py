"""Findings that were accepted: service/migrations/waivers.yml, each with a reason and a day on which it ends."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from fabfile import accepted
from fabfile.errors import RefusedError
from fabfile.migration.lint import Problem

FILE = Path(__file__).parents[2] / "service/migrations/waivers.yml"
FIELDS = {"revision", "rule", "reason", "until"}


@dataclass(frozen=True)
class Waiver:
    revision: str
    rule: str
    reason: str
    until: date


def load(file: Path = FILE) -> list[Waiver]:
    """The waivers of a file. Raises RefusedError for one that lacks something, or says it in no form."""
    try:
        rows = yaml.safe_load(file.read_text(encoding="utf-8")) or []
    except (OSError, yaml.YAMLError) as failure:
        raise RefusedError(f"{file.name} cannot be read: {failure}. Nothing was changed.") from None
    if not isinstance(rows, list):
        raise RefusedError(f"{file.name} is no list of waivers. Nothing was changed.")
    return [_waiver(file.name, row) for row in rows]


def _waiver(name: str, row: Any) -> Waiver:
    if not isinstance(row, dict) or row.keys() != FIELDS:
        raise RefusedError(
            f"{name}: {row!r} does not have revision, rule, reason and until. Nothing was changed."
        )
    reason, until = accepted.terms(
        f"{name}: the waiver of {row['rule']} for {row['revision']}", row, "Nothing was changed."
    )
    return Waiver(str(row["revision"]), str(row["rule"]), reason, until)


def remaining(
    found: Sequence[Problem], waivers: Sequence[Waiver], known: Collection[str], today: date
) -> list[Problem]:
    """The findings that nobody accepted, and the waivers that are over or are for nothing. known: revisions."""
    left = [
        each for each in found if (each.revision, each.rule) not in {(w.revision, w.rule) for w in waivers}
    ]
    for waiver in waivers:
        if waiver.revision not in known:
            left.append(_about(waiver, "is for a revision that there is not"))
        elif (waiver.revision, waiver.rule) not in {(each.revision, each.rule) for each in found}:
            left.append(_about(waiver, "is for something that is not found any more: remove it"))
        elif waiver.until < today:
            left.append(_about(waiver, f"ended on {waiver.until}: mend it, or say anew why not"))
    return left


def _about(waiver: Waiver, what: str) -> Problem:
    return Problem(waiver.revision, waiver.rule, f"The waiver of {waiver.rule} for {waiver.revision} {what}.")
