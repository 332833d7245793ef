"""One line a rule of the contract: whether it holds, and what it means where it does not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

# A rule that does not hold; something that may be left out, and what is lost without it.
HOLDS, MISSING, WITHOUT = "holds", "MISSING", "without"


@dataclass(frozen=True)
class Line:
    """what: the rule, in a word or two. state: one of HOLDS, MISSING, WITHOUT. said: what was seen, what it means."""

    what: str
    state: str
    said: str


def holds(what: str, said: str) -> Line:
    return Line(what, HOLDS, said)


def missing(what: str, said: str) -> Line:
    return Line(what, MISSING, said)


def without(what: str, said: str) -> Line:
    return Line(what, WITHOUT, said)


def is_kept(lines: Sequence[Line]) -> bool:
    """Whether nothing that has to hold is missing."""
    return not any(line.state == MISSING for line in lines)


def text(line: Line) -> str:
    return f"{line.state:8} {line.what:16} {line.said}"


def as_json(service: str, lines: Sequence[Line]) -> str:
    said = {"service": service, "holds": is_kept(lines), "lines": [asdict(line) for line in lines]}
    return json.dumps(said, ensure_ascii=False)
