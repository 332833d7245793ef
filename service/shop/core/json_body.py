"""Request bodies: what is read as JSON, and what is refused before anything of the application sees it."""

import json
import math
import re
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, NoReturn

from fastapi import params
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response

from shop.core.errors import AppError, Fault, invalid_request, standard_error

JSON = "application/json"
JSON_SUFFIX = re.compile(r"application/[a-z0-9.-]+\+json")
FORM = "application/x-www-form-urlencoded"
NUL = ("nul_character", "A text must not hold the character NUL.")

# What opens or follows a value; more of them than this keep a worker busy for longer than a request is worth.
VALUE_MARKS = (b"[", b"{", b",")
MOST_VALUES = 50_000
# Forms are names and passwords.
LARGEST_FORM = 16_384


class _Refused(ValueError):
    """Why a document is not accepted: a code for programs, a sentence for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _Refused("json_duplicate_name", "An object has two members of the same name; send each once.")
    return members


def _finite(literal: str) -> float:
    value = float(literal)
    if not math.isfinite(value):
        raise _Refused("json_number_too_large", "A number is larger than any a program can hold.")
    return value


def _no_constant(_: str) -> NoReturn:
    raise _Refused("json_invalid", "JSON has no NaN and no Infinity.")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant)


def _refuse_nul(value: Any, location: tuple[str, ...]) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise invalid_request(
                [Fault(location, "nul_character", "A text must not hold the character NUL.")]
            )
    elif isinstance(value, dict):
        for name, member in value.items():
            _refuse_nul(name, location)
            _refuse_nul(member, (*location, name))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            _refuse_nul(member, (*location, str(index)))


def parse(body: bytes) -> Any:
    """The JSON document in `body`, read as RFC 8259 and RFC 7493 (I-JSON) want it written.

    Raises AppError 422 for anything but UTF-8 without a byte order mark, for half a surrogate pair, a name
    that comes twice in one object, a number beyond a double, NaN, Infinity, an integer of more than 4300
    digits, more than 200 levels or 50000 values, and for NUL in a text, which PostgreSQL cannot keep.
    """
    if len(body) > MOST_VALUES and sum(map(body.count, VALUE_MARKS)) > MOST_VALUES:
        message = f"The body holds more than {MOST_VALUES} values: send less at once."
        raise invalid_request([Fault(("body",), "json_too_many_values", message)])
    try:
        # The strict reader bounds the depth, so that the second, which sees names twice, cannot overflow.
        from_json(body, allow_inf_nan=False)
        document = _DECODER.decode(body.decode())
    except _Refused as refused:
        raise invalid_request([Fault(("body",), refused.code, refused.message)]) from None
    except ValueError as error:
        raise invalid_request([Fault(("body",), "json_invalid", f"The body is not JSON: {error}.")]) from None
    if b"\\u0000" in body:
        _refuse_nul(document, ("body",))
    return document


def _nul_in_address(request: Request) -> Iterator[Fault]:
    for name, value in request.query_params.multi_items():
        if "\0" in name + value:
            yield Fault(("query", name), *NUL)
    for name, value in request.path_params.items():
        if "\0" in str(value):
            yield Fault(("path", name), *NUL)


def _check_headers(request: Request, accepted: str) -> None:
    if request.headers.get("content-encoding", "identity") != "identity":
        raise AppError(
            415,
            "unsupported_encoding",
            "The body is compressed: send it as it is, without Content-Encoding.",
            headers={"Accept-Encoding": "identity"},
        )
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == accepted or (accepted == JSON and JSON_SUFFIX.fullmatch(media_type)):
        return
    raise AppError(
        415,
        "unsupported_media_type",
        f"This address reads {accepted}: send that, and name it in Content-Type.",
        headers={"Accept": accepted},
    )


class _JSONRequest(Request):
    """A request whose body is parsed already."""

    document: Any = None

    async def json(self) -> Any:
        return self.document


class JSONRoute(APIRoute):
    """A route that reads JSON strictly: see `parse`. NUL is refused in the path, the query and forms, too.

    Answers 415 to a body that is compressed, or not declared as what the route reads: JSON or a form.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        is_form = self.body_field is not None and isinstance(self.body_field.field_info, params.Form)
        reads_json = self.body_field is not None and not is_form

        async def handle(request: Request) -> Response:
            if b"%00" in request.scope["query_string"] or "\0" in request.scope["path"]:
                raise invalid_request(_nul_in_address(request))
            if reads_json:
                request = _JSONRequest(request.scope, request.receive)
                if body := await request.body():
                    _check_headers(request, JSON)
                    request.document = parse(body)
            elif is_form and (body := await request.body()):
                if len(body) > LARGEST_FORM:
                    raise standard_error(413)
                _check_headers(request, FORM)
                if b"%00" in body or b"\0" in body:
                    raise invalid_request([Fault(("body",), *NUL)])
            return await handler(request)

        return handle
