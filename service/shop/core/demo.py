"""A made-up shop in the making: each domain adds its rows to those that are there."""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

DAYS = 90

Row = dict[str, Any]


@dataclass
class Demo:
    """The rows of each table, of the 90 days before `now`; the same `seed` makes the same.

    people: how many. hashed: the password of each. currency: of all prices.
    """

    people: int
    now: datetime
    hashed: str
    currency: str
    seed: int = 1
    rows: dict[str, list[Row]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 - made-up data, guards nothing
        self.begin = self.now - timedelta(days=DAYS)

    def table(self, name: str) -> list[Row]:
        """The rows of a table so far, to be added to."""
        return self.rows.setdefault(name, [])

    def id_at(self, moment: datetime) -> UUID:
        """A version 7 id (RFC 9562, 5.7) of this moment, so that ids sort as the times do."""
        milliseconds, chance = int(moment.timestamp() * 1000), self.chance.getrandbits(74)
        return UUID(int=milliseconds << 80 | 7 << 76 | chance >> 62 << 64 | 2 << 62 | chance & (1 << 62) - 1)
