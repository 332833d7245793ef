"""Errors as RFC 9457 problem+json, extended by `code`, `message`, `details` and `request_id`."""

from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from itertools import islice
from typing import Any, NamedTuple

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

RETRY_AFTER = {"Retry-After": "1"}
# What is said of a status when the code that raises it says nothing of its own: (code, message).
STANDARD: Mapping[int, tuple[str, str]] = {
    400: ("bad_request", "The request cannot be understood."),
    401: ("unauthorized", "The credentials of the request are missing, wrong or no longer valid: log in."),
    403: ("forbidden", "The user may not do this."),
    404: ("not_found", "Nothing is found at this address."),
    405: (
        "method_not_allowed",
        "This address does not support the method; the Allow header lists those it does.",
    ),
    409: ("conflict", "The request contradicts the present state."),
    412: ("precondition_failed", "What was to be changed has changed since it was read: read it again."),
    413: ("body_too_large", "The body is larger than the service accepts."),
    415: (
        "unsupported_media_type",
        "The body has a media type or an encoding that this address does not read.",
    ),
    421: ("host_not_served", "The service does not answer for this host name."),
    422: (
        "invalid_request",
        "The request does not have the form this address needs; details lists each fault.",
    ),
    429: ("too_many_requests", "Too many requests: wait as long as the Retry-After header says."),
    500: ("internal_error", "The service failed to answer. The fault is in its log under this request_id."),
    503: ("unavailable", "The service cannot answer now. Try again shortly."),
}
# A request may hold any number of faults, and names of any length: an answer lists the first of them.
MOST_FAULTS = 20
LONGEST_LOCATION_PART = 100


class Problem(BaseModel):
    """The body of every error: RFC 9457, extended by `code`, `message`, `details` and `request_id`."""

    type: str = Field(description="about:blank: the status says what kind of problem it is")
    title: str = Field(description="the name of the status")
    status: int = Field(description="the status of the answer", ge=400, le=599)
    detail: str = Field(description="the same sentence as message, under the name RFC 9457 gives it")
    instance: str = Field(description="the path that was asked for")
    code: str = Field(description="what went wrong, for programs: it never changes its meaning")
    message: str = Field(description="what went wrong and what to do, for people")
    details: Any = Field(description="what belongs to this code; null when nothing does")
    request_id: str = Field(description="the id of the request, the same as in X-Request-ID and in the log")


class Fault(NamedTuple):
    """One thing that is wrong with a request: where (first "body", "query", "path" or "header"), and what."""

    location: tuple[str, ...]
    code: str
    message: str


class AppError(Exception):
    """An expected failure: `code` for programs, `message` for people, `details` for both."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Any = None,
        headers: Mapping[str, str] | None = None,
        extensions: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.headers = headers
        self.extensions = extensions or {}


class ConstraintError(Exception):
    """A write that a constraint of the database refused: `name` is the constraint's, "" when not said."""

    def __init__(self, name: str, sqlstate: str) -> None:
        super().__init__(f"constraint {name or 'unknown'} refused the write (SQLSTATE {sqlstate})")
        self.name = name
        self.sqlstate = sqlstate


# What a domain says of its constraints: name -> (status, code, message).
Constraints = Mapping[str, tuple[int, str, str]]


def title(status: int) -> str:
    """The name of a status; of its class when the status has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Client Error" if status < 500 else "Server Error"


def problem_response(request: Request, error: AppError) -> Response:
    """Answer `error` in the one shape; the request middleware has put the id into the request's state."""
    body = {
        **error.extensions,
        "type": "about:blank",
        "title": title(error.status),
        "status": error.status,
        "detail": error.message,
        "instance": request.scope["path"],
        "code": error.code,
        "message": error.message,
        "details": error.details,
        "request_id": request.state.request_id,
    }
    return Response(
        orjson.dumps(body), error.status, headers=error.headers, media_type="application/problem+json"
    )


def standard_error(status: int, headers: Mapping[str, str] | None = None) -> AppError:
    """The error of a status of which nothing more is known."""
    code, message = STANDARD.get(status) or (title(status).lower().replace(" ", "_"), f"{title(status)}.")
    return AppError(status, code, message, headers=headers)


def internal_error(request: Request) -> Response:
    """The answer to a fault of ours: nothing of the exception leaves the log."""
    return problem_response(request, standard_error(500))


def invalid_request(faults: Iterable[Fault]) -> AppError:
    """The 422 for `faults`, whose input is not repeated: it may be a secret, or huge."""
    details = [
        {
            "location": [part[:LONGEST_LOCATION_PART] for part in fault.location],
            "code": fault.code,
            "message": fault.message,
        }
        for fault in islice(faults, MOST_FAULTS)
    ]
    return AppError(422, *STANDARD[422], details=details)


def _faults(error: RequestValidationError) -> Iterator[Fault]:
    for fault in error.errors():
        yield Fault(tuple(str(part) for part in fault["loc"]), fault["type"], fault["msg"])


def _allowed_methods(request: Request) -> str:
    """Every method of the path asked for; the router alone would name those of one route of several."""
    methods: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        if route.path_regex and route.path_regex.match(request.scope["path"]):
            methods |= route.methods or set()
    if "GET" in methods:
        methods.add("HEAD")
    return ", ".join(sorted(methods))


def register_error_handlers(app: FastAPI, constraints: Constraints) -> None:
    """Make every error of `app` a problem; exceptions nobody expects are the request middleware's."""

    @app.exception_handler(ConstraintError)
    async def constraint_error(request: Request, error: ConstraintError) -> Response:
        if error.name not in constraints:
            raise error
        return problem_response(request, AppError(*constraints[error.name]))

    @app.exception_handler(AppError)
    async def app_error(request: Request, error: AppError) -> Response:
        return problem_response(request, error)

    @app.exception_handler(HTTPException)
    async def http_exception(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = _allowed_methods(request)
        return problem_response(request, standard_error(error.status_code, headers))

    @app.exception_handler(RequestValidationError)
    async def validation_error(request: Request, error: RequestValidationError) -> Response:
        return problem_response(request, invalid_request(_faults(error)))

    @app.exception_handler(ClientDisconnect)
    async def client_disconnect(request: Request, error: ClientDisconnect) -> Response:
        # Nobody reads this answer; the access line says how the request ended.
        return problem_response(
            request, AppError(400, "body_incomplete", "The connection ended before the body did.")
        )
