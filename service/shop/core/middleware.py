"""The one middleware, pure ASGI: the request's id, its access line, the release header, the last resort."""

import re
import time

import structlog
import uuid_utils.compat
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shop.core.errors import internal_error

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
LONGEST_LOGGED_PATH = 512

log = structlog.get_logger("shop.access")


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else str(uuid_utils.compat.uuid7())


def _log_access(scope: Scope, status: int, duration: float) -> None:
    route = getattr(scope.get("route"), "path", "unmatched")
    client = scope.get("client")
    if status >= 500:
        emit = log.error
    elif route.startswith("/health/"):
        # Probes come every second or so and say nothing while all is well.
        emit = log.debug
    else:
        emit = log.info
    emit(
        "request",
        method=scope["method"],
        path=scope["path"][:LONGEST_LOGGED_PATH],
        route=route,
        status=status,
        duration_ms=round(duration * 1000, 2),
        client=client[0] if client else None,
    )


class RequestMiddleware:
    """Gives every response `X-Request-ID` and `X-Release`, and every request one access line."""

    def __init__(self, app: ASGIApp, release: str) -> None:
        self.app = app
        self.release = release

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        status = 0
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                headers["X-Release"] = self.release
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, send_with_headers)
            except Exception:
                log.exception("unhandled_error")
                if status:
                    # Half an answer is out: only a cut connection tells the client so.
                    raise
                await internal_error(Request(scope))(scope, receive, send_with_headers)
            finally:
                _log_access(scope, status, time.perf_counter() - start)
