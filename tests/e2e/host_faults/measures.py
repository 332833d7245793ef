"""What is measured of a fault, in words and numbers, and what of it breaks a promise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from tests.e2e.load import Seen

# Each is the less the better.
WORDS = {
    "lost": "{} confirmed orders lost",
    "500s": "{} answers 500",
    "odd": "{} other answers than 200, 201, 502, 503 and 504",
    "refused": "{} answers 502, 503 or 504",
    "cut": "{} requests cut",
    "unconnected": "{} without a connection",
    "back": "all served {} s after",
    "slowest": "the slowest answer {} s",
    "restarts": "{} restarts of the service",
    "lines lost": "{} log lines lost",
    "lines twice": "{} log lines twice",
    "let through": "{} let through",
    "held": "a connection held {} s",
    "grown": "a worker grown by {} MB",
    "unsaid": "{} sentences missing",
    "undone": "{} deploys failed",
    "changed": "{} changes by the next site.yml",
}
# Of every fault, unless it says otherwise.
ALWAYS: Mapping[str, float] = {"lost": 0, "500s": 0, "odd": 0, "lines lost": 0, "changed": 0}
SERVED, REFUSED, FAULT = (200, 201), (502, 503, 504), 500


def broken(promise: Mapping[str, float], measured: Mapping[str, float]) -> list[str]:
    """What is more than was promised, or was not measured, in words."""
    found = []
    for name, most in {**ALWAYS, **promise}.items():
        if name not in measured:
            found.append(f"{name} was not measured")
        elif measured[name] > most:
            found.append(said(name, measured[name]))
    return found


def said(name: str, value: float) -> str:
    """A measure in words."""
    if math.isinf(value):
        return "not served again by itself"
    return WORDS[name].format(f"{value:.1f}".removesuffix(".0"))


def promised(promise: Mapping[str, float]) -> str:
    """A promise in words, without what is always promised."""
    return ", ".join(
        said(name, most) if most == 0 else WORDS[name].format(f"≤ {most:g}") for name, most in promise.items()
    )


def of_requests(seen: Seen, since: float) -> Iterator[tuple[str, float]]:
    """What customers saw. since: when the fault was made, or put right, in seconds since 1970."""
    statuses = [answer.status for answer in seen.answers]
    yield "requests", len(statuses) + len(seen.losses)
    yield "500s", statuses.count(FAULT)
    yield "refused", sum(status in REFUSED for status in statuses)
    yield "odd", sum(status not in (*SERVED, *REFUSED, FAULT) for status in statuses)
    yield "cut", sum(not loss.refused for loss in seen.losses)
    yield "unconnected", sum(loss.refused for loss in seen.losses)
    unserved = [answer.at for answer in seen.answers if answer.status not in SERVED]
    yield "back", max([0.0, *(at - since for at in (*unserved, *(loss.at for loss in seen.losses)))])
    yield "slowest", max((answer.at - answer.sent for answer in seen.answers), default=0.0)
