"""The request's middleware, pure ASGI: id, access line, metrics, release header; and the last resort."""

import re
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Literal

import structlog
import uuid_utils
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shop.core.errors import internal_error
from shop.core.logging import ACCESS_LOGGER, access_log, redact_text
from shop.core.metrics import UNMATCHED, metrics

# nginx has the same rule: an id from outside ends up in logs, where others search for it.
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
LONGEST_LOGGED_PATH = 512
LONGEST_LOGGED_METHOD = 16
# An IPv6 address with its scope; X-Forwarded-For is taken as it comes.
LONGEST_LOGGED_CLIENT = 64
# nginx's status for a client that went away before it was answered.
CLIENT_CLOSED_REQUEST = 499

log = structlog.get_logger(ACCESS_LOGGER)
# As structlog.contextvars.bind_contextvars would name it, which takes three times as long to bind it.
_bound_request_id: ContextVar[str] = ContextVar("structlog_request_id")


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            return value.decode() if REQUEST_ID.fullmatch(value) else str(uuid_utils.uuid7())
    return str(uuid_utils.uuid7())


def _log_access(scope: Scope, route: str, status: int, duration: float) -> None:
    # Probes come every second or so and say nothing while all is well.
    level: Literal["debug", "info", "error"] = "debug" if route.startswith("/health") else "info"
    client = scope.get("client")
    state = scope["state"]
    access_log().write(
        "error" if status >= 500 else level,
        {
            "method": scope["method"][:LONGEST_LOGGED_METHOD],
            "path": redact_text(scope["path"][:LONGEST_LOGGED_PATH]),
            "route": route,
            "status": status,
            "duration": round(duration, 6),
            "client": client[0][:LONGEST_LOGGED_CLIENT] if client else None,
            "user_id": state.get("user_id"),
            "request_id": state["request_id"],
        },
    )


class LastResort:
    """Answers an exception that nobody expects: inside CrossOrigin, so that a page may read the answer."""

    def __init__(self, app: ASGIApp, report: Callable[[Exception, Scope], None] | None = None) -> None:
        self.app = app
        self.report = report

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except Exception as error:
            log.exception("unhandled_error")
            if self.report:
                self.report(error, scope)
            if started:
                # Half an answer is out: only a cut connection tells the client so.
                raise
            await internal_error(Request(scope))(scope, receive, send)


class RequestMiddleware:
    """Gives every response `X-Request-ID`, every request one access line and its metrics."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        status = 0
        request_id = _request_id(scope)
        state = scope.setdefault("state", {})
        state["request_id"] = state["corr_id"] = request_id

        # Not a coroutine of its own: each message of each answer would pay for one.
        def send_with_headers(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            return send(message)

        instruments = metrics()
        instruments.active += 1
        token = _bound_request_id.set(request_id)
        try:
            await self.app(scope, receive, send_with_headers)
        finally:
            instruments.active -= 1
            duration = time.perf_counter() - start
            route = getattr(scope.get("route"), "path_format", UNMATCHED)
            instruments.count_request(scope["method"], route, status or CLIENT_CLOSED_REQUEST, duration)
            _log_access(scope, route, status or CLIENT_CLOSED_REQUEST, duration)
            _bound_request_id.reset(token)
            if "user_id" in state:
                structlog.contextvars.unbind_contextvars("user_id")
