"""Errors as RFC 9457 problem+json, extended by `code`, `message`, `details` and `request_id`."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

RETRY_AFTER = {"Retry-After": "1"}
CODES = {404: "not_found", 405: "method_not_allowed", 422: "invalid_request", 500: "internal_error"}
MESSAGES = {
    404: "Nothing is found at this address.",
    405: "This address does not support the method; the Allow header lists those it does.",
    422: "The request does not have the form this address needs; details lists each fault.",
    500: "The service failed to answer. The fault is in its log under this request_id.",
}


class Problem(BaseModel):
    """The body of every error."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    message: str
    details: Any
    request_id: str


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


def problem_response(request: Request, error: AppError) -> Response:
    """Answer `error` in the one shape; the request middleware has put the id into the request's state."""
    body = {
        **error.extensions,
        "type": "about:blank",
        "title": HTTPStatus(error.status).phrase,
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


def internal_error(request: Request) -> Response:
    """The answer to a fault of ours: nothing of the exception leaves the log."""
    return problem_response(request, AppError(500, CODES[500], MESSAGES[500]))


def _expected(error: HTTPException) -> AppError:
    status = error.status_code
    code = CODES.get(status, HTTPStatus(status).name.lower())
    return AppError(status, code, MESSAGES.get(status, str(error.detail)), headers=error.headers)


def _invalid(error: RequestValidationError) -> AppError:
    # The input is not repeated: it may be a secret, huge, or not expressible in JSON.
    details = [
        {"location": [str(part) for part in fault["loc"]], "code": fault["type"], "message": fault["msg"]}
        for fault in error.errors()
    ]
    return AppError(422, CODES[422], MESSAGES[422], details=details)


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
        return problem_response(request, _expected(error))

    @app.exception_handler(RequestValidationError)
    async def invalid_request(request: Request, error: RequestValidationError) -> Response:
        return problem_response(request, _invalid(error))
