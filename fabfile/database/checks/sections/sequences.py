"""Sequences: how far each is on its way to its end, or to that of the column it feeds."""

from __future__ import annotations

from dataclasses import dataclass

from fabfile.database import texts
from fabfile.database.checks.judging import About, Judged, measured, stated
from fabfile.database.findings import Level


@dataclass(frozen=True)
class Sequence:
    """percent: of its way to the end. ends_with: the column that ends before it, such as "blog.t.id is integer"."""

    schema: str
    name: str
    readable: bool
    cycles: bool
    percent: float
    ends_with: str


def sequences(about: About, found: list[Sequence]) -> Judged:
    """How far the furthest sequence is; one that cannot be read is not taken for a fresh one."""
    unseen = [texts.qualified(one.schema, one.name) for one in found if not one.readable]
    if unseen:
        said = (
            f"{len(unseen)} sequences may not be read, such as {unseen[0]}, so how far they are is not known."
        )
        yield stated(
            about,
            "sequences",
            Level.UNKNOWN,
            said,
            "ansible-playbook -i inventory/ENV playbooks/database.yml",
        )
    ending = [one for one in found if one.readable and not one.cycles]
    one = max(ending, key=lambda each: each.percent, default=None)
    if one is None:
        if not unseen:
            yield measured(about, "sequences", 0, "There is no sequence that can end")
        return
    name = texts.qualified(one.schema, one.name)
    ends = f", for its column {texts.plain(one.ends_with, 120)}" if one.ends_with else ""
    said = f"The sequence {name} has used {one.percent:.4g} % of its numbers{ends}"
    # A column that ends first is made wider by a migration.
    command = "" if one.ends_with else f"ALTER SEQUENCE {name} AS bigint;"
    yield measured(about, "sequences", one.percent, said, command)
