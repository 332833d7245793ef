"""The list on a screen, worst first in each group, and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from fabfile.database import texts, units
from fabfile.database.findings import worst
from fabfile.upkeep.doctor import accepting
from fabfile.upkeep.doctor.items import GROUPS
from fabfile.upkeep.doctor.judging import Item, Seen, State, Verdict

WORDS, IDS = 9, 14
# Of a line, so that it stays one on most screens.
WIDTH = 96


@dataclass(frozen=True)
class Judged:
    item: Item
    verdict: Verdict


@dataclass(frozen=True)
class Told:
    """The verdicts by group, worst first in each and worst group first; in the list's order among equals."""

    seen: Seen
    groups: dict[str, list[Judged]]

    @property
    def verdicts(self) -> list[Verdict]:
        return [each.verdict for judged in self.groups.values() for each in judged]

    @property
    def exit_code(self) -> int:
        """0 all met, 1 something is not, 2 something is wrong, 3 something was not looked at."""
        return worst(verdict.state.level for verdict in self.verdicts).value


def told(seen: Seen) -> Told:
    groups = {
        name: sorted((_judged(item, seen) for item in items), key=lambda each: -_rank(each))
        for name, items in GROUPS.items()
    }
    return Told(seen, dict(sorted(groups.items(), key=lambda group: -max(map(_rank, group[1])))))


def _judged(item: Item, seen: Seen) -> Judged:
    return Judged(item, accepting.applied(item.id, item.judged(seen), seen.accepted, date.today()))


def _rank(judged: Judged) -> int:
    return judged.verdict.state.level.rank


def lines(told: Told, only_problems: bool = False) -> Iterator[str]:
    """A screen. only_problems: without what is met or accepted."""
    seen = told.seen
    number = len(seen.hosts) + len(seen.unseen)
    yield (
        f"{seen.environment}: {seen.app} on {number} host{'s' if number > 1 else ''}, "
        f"looked at in {units.duration(seen.seconds)}."
    )
    for name, why in seen.unseen.items():
        yield f"{name} was not looked at: {_placed(why, seen)}"
    for group, judged in told.groups.items():
        shown = [each for each in judged if not only_problems or _rank(each)]
        if shown:
            yield f"\n{group}"
        for each in shown:
            yield from _lines(each, seen)
    counts = Counter(verdict.state for verdict in told.verdicts)
    said = [f"{counts[state]} {state.value}" for state in State if counts[state]]
    yield f"\n{len(told.verdicts)} items: {', '.join(said)}."


def _lines(judged: Judged, seen: Seen) -> Iterator[str]:
    verdict = judged.verdict
    evidence = texts.plain(verdict.evidence, WIDTH)
    yield f"  {verdict.state.value:<{WORDS}}{judged.item.id:<{IDS}}{evidence}"
    if verdict.remedy:
        yield f"  {'':<{WORDS}}{'':<{IDS}}-> {_placed(texts.plain(verdict.remedy), seen)}"


def _placed(text: str, seen: Seen) -> str:
    """What to type, for this environment."""
    return text.replace("inventory/ENV", f"inventory/{seen.environment}")


def encoded(told: Told) -> str:
    """One JSON object."""
    seen = told.seen
    return json.dumps(
        {
            "version": 1,
            "environment": seen.environment,
            "exit_code": told.exit_code,
            "seconds": round(seen.seconds, 2),
            "hosts": dict.fromkeys(seen.hosts, "") | dict(seen.unseen),
            "items": [
                {
                    "id": each.item.id,
                    "group": group,
                    "asks": each.item.asks,
                    "state": each.verdict.state.value,
                    "evidence": texts.plain(each.verdict.evidence),
                    "remedy": _placed(texts.plain(each.verdict.remedy), seen),
                }
                for group, judged in told.groups.items()
                for each in judged
            ],
        },
        indent=2,
    )
