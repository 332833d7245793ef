"""Pages by key: `last_id` is where the previous page ended, so that page 500 costs what page 1 does."""

import uuid
from collections.abc import Sequence
from typing import Annotated, TypeVar
from urllib.parse import urlencode

from fastapi import Query
from starlette.responses import Response

Item = TypeVar("Item")

# Ids are in the order of creation (UUIDv7) and pages go from the newest to the oldest: the first starts here.
LARGEST_ID = uuid.UUID(int=2**128 - 1)
# The same for keys that PostgreSQL counts: bigint.
LARGEST_NUMBER = 2**63 - 1

Limit = Annotated[int, Query(ge=1, le=100, description="how many at most, 1 to 100")]
DEFAULT_LIMIT = 50
LastId = Annotated[uuid.UUID | None, Query(description="continue after the thing with this id")]
LastNumber = Annotated[
    int | None, Query(ge=1, le=LARGEST_NUMBER, description="continue after the entry with this id")
]


def cut(rows: Sequence[Item], limit: int) -> tuple[Sequence[Item], bool]:
    """The page among `rows`, of which the query asked `limit` + 1, and whether another page follows it.

    One row more than asked for tells so without counting.
    """
    return (rows[:limit], True) if len(rows) > limit else (rows, False)


def following_page(path: str, last_id: uuid.UUID | int, limit: int, **filters: str | None) -> str:
    """The address of the page after the one that ends with `last_id`; filters that are None are left out."""
    query = {name: value for name, value in filters.items() if value is not None}
    return f"{path}?{urlencode({'last_id': last_id, 'limit': limit, **query})}"


def linked(response: Response, following: str | None) -> str | None:
    """`following`, which is named by the Link header of `response`, too."""
    response.headers.update(link_headers(following))
    return following


def link_headers(following: str | None) -> dict[str, str]:
    """The Link header (RFC 8288) that names the following page, nothing when there is none."""
    return {} if following is None else {"Link": f'<{following}>; rel="next"'}
