"""Conditional requests (RFC 9110, 13.1): a row's version as its entity tag, 304 and 412.

The tags are weak, because the proxy in front compresses: the same row may leave as other bytes. `If-Match`
takes them all the same, where the RFC compares strongly: a version rises with every change of its row, which
is what the strong comparison is there to find out.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import sha256
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import Depends, Header
from starlette.requests import Request
from starlette.responses import Response

from shop.core.errors import AppError

# RFC 9110, 8.8.3: an optional W/, then any visible characters but the quote between quotes.
ENTITY_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
# A list of tags: empty elements are allowed, anything that is no tag makes the whole header unusable.
ENTITY_TAGS = re.compile(rf"{ENTITY_TAG.pattern}(?:[ \t]*,[ \t,]*{ENTITY_TAG.pattern})*")
# The tags of as many versions as a client may remember.
LONGEST_LIST = 8192


class Versioned(Protocol):
    """What rises with every change."""

    version: int


Row = TypeVar("Row", bound=Versioned)
PRIVATE = {"Cache-Control": "private, no-cache"}


def header(name: str, description: str) -> dict[str, Any]:
    """A request header for the OpenAPI document, which its route reads by itself."""
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string"},
    }


def version_tag(version: int) -> str:
    """The entity tag of a row with this version, such as W/"7"."""
    return f'W/"{version}"'


def content_tag(body: bytes) -> str:
    """The entity tag of an answer that belongs to no single row, such as a page: a digest of its body."""
    return f'W/"{sha256(body).hexdigest()[:24]}"'


def _is_listed(values: list[str], tag: str) -> bool:
    """True when the header's `values` name `tag`, or any tag by *; W/ makes no difference."""
    listed = ", ".join(values)
    if listed.strip() == "*":
        return True
    if len(listed) > LONGEST_LIST or ENTITY_TAGS.fullmatch(listed.strip(" \t,")) is None:
        return False
    return tag.removeprefix("W/")[1:-1] in ENTITY_TAG.findall(listed)


def is_unchanged(request: Request, tag: str) -> bool:
    """True when `If-None-Match` says that the client has what `tag` stands for: answer 304.

    A header that is no list of entity tags is treated as absent.
    """
    values = request.headers.getlist("if-none-match")
    return bool(values) and _is_listed(values, tag)


def not_modified(tag: str, headers: Mapping[str, str] | None = None) -> Response:
    """A 304 with `tag` and the `headers` that the 200 would have had (RFC 9110, 15.4.5)."""
    return Response(status_code=304, headers={**(headers or {}), "ETag": tag})


def stamp(response: Response, row: Versioned) -> None:
    """Say on an answer which version of `row` it shows; it is for one user, who asks again each time."""
    response.headers.update({**PRIVATE, "ETag": version_tag(row.version)})


def fresh(request: Request, response: Response, row: Row) -> Row | Response:
    """`row` with its stamp on `response`, or a 304 when the client has this version."""
    tag = version_tag(row.version)
    if is_unchanged(request, tag):
        return not_modified(tag, PRIVATE)
    stamp(response, row)
    return row


def require_match(request: Request, version: int) -> None:
    """Let the request through when it has no `If-Match`, or one that names `version` or is *.

    Call it with the version of a row that the transaction has locked, else another change can come between.
    Raises AppError 412 `stale` otherwise, with the present tag in the `ETag` header.
    """
    values = request.headers.getlist("if-match")
    tag = version_tag(version)
    if values and not _is_listed(values, tag):
        raise AppError(
            412,
            "stale",
            "This has changed since it was read, so nothing was changed now: "
            "read it again, then repeat the request with the new ETag in If-Match.",
            details={"version": version},
            headers={"ETag": tag},
        )


async def _if_match(
    request: Request,
    _: Annotated[
        str | None, Header(alias="If-Match", description="the ETag of what changes, as it was read")
    ] = None,
) -> Callable[[int], None]:
    return partial(require_match, request)


# What an address that changes a row takes: called with the row's version, it raises unless that was read.
IfMatch = Annotated[Callable[[int], None], Depends(_if_match)]
