"""The table of docs/scores.md: what is kept there, what is measured now, and what speaks against it."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import tomllib

ROW_CELLS = 5


@dataclass(frozen=True)
class Score:
    """One number about a host. target: the worst that is good; lower: whether less is better; about: its parts."""

    name: str
    value: float
    target: float
    lower: bool = True
    about: str = ""

    @property
    def held(self) -> bool:
        """Whether it is as good as its target."""
        return self.value <= self.target if self.lower else self.value >= self.target

    def worse_than(self, kept: float) -> bool:
        """Whether it fell behind a value of before."""
        return self.value > kept if self.lower else self.value < kept


@dataclass(frozen=True)
class Waiver:
    """A target that is missed for a time."""

    score: str
    reason: str
    until: datetime.date


def waivers(path: Path) -> dict[str, Waiver]:
    """The waivers of a file, by the name of the score."""
    rows = tomllib.loads(path.read_text(encoding="utf-8")).get("waiver", [])
    return {row["score"]: Waiver(row["score"], row["reason"], row["until"]) for row in rows}


def rendered(scores: list[Score], waived: dict[str, Waiver]) -> str:
    """The rows of the table, in Markdown."""
    lines = ["| what | score | target | held | made up of |", "| --- | --- | --- | --- | --- |"]
    for score in scores:
        waiver = waived.get(score.name)
        held = "yes" if score.held else "no"
        if not score.held and waiver:
            held = f"waived until {waiver.until}: {waiver.reason}"
        sign = "≤" if score.lower else "≥"
        lines.append(f"| {score.name} | {score.value:g} | {sign} {score.target:g} | {held} | {score.about} |")
    return "\n".join(lines) + "\n"


def kept(text: str) -> dict[str, float]:
    """The scores of a table, by name."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if line.startswith("| ") and len(cells) >= ROW_CELLS - 1 and cells[2][:1] in ("≤", "≥"):
            found[cells[0]] = float(cells[1])
    return found


def complaints(
    scores: list[Score], before: dict[str, float], waived: dict[str, Waiver], today: datetime.date
) -> list[str]:
    """What speaks against the scores, a sentence each: one fell, was not measured, or is missed without a waiver."""
    found = []
    for score in scores:
        fell = score.name in before and score.worse_than(before[score.name])
        waiver = waived.get(score.name)
        if fell:
            found.append(f"{score.name} fell from {before[score.name]:g} to {score.value:g} ({score.about}).")
        if not score.held and waiver is None:
            found.append(f"{score.name} is {score.value:g}, its target {score.target:g} ({score.about}).")
        if not score.held and waiver and waiver.until < today:
            found.append(f"The waiver of {score.name} ended on {waiver.until}: {waiver.reason}.")
    measured = {score.name for score in scores}
    found += [f"{name} was not measured; it was {before[name]:g}." for name in before if name not in measured]
    good = {score.name for score in scores if score.held}
    found += [f"{name} is held: take its waiver away." for name in waived if name in good]
    found += [f"There is no score {name}: take its waiver away." for name in waived if name not in measured]
    return found
