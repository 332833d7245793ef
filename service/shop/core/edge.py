"""The outer middleware, pure ASGI: which hosts are served, which origins call, how large a body may be."""

import re
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shop.core.errors import AppError, problem_response, standard_error

# A name or an address in brackets, and a port: what RFC 9110 lets a Host header be, without user and path.
HOST = re.compile(r"(?P<name>[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?", re.IGNORECASE)
# Their answers depend on no host: who probes a process by its socket or address knows no name of it.
PROBES = ("/health/live", "/health/ready")
# Digits of a Content-Length that any limit is below.
LONGEST_LENGTH = 18
METHODS = ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE")
REQUEST_HEADERS = ("Authorization", "Idempotency-Key", "If-Match", "If-None-Match", "X-Request-ID")
RESPONSE_HEADERS = (
    "ETag",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "Retry-After",
    "X-Release",
    "X-Request-ID",
)


class TrustedHosts:
    """Answers for the host names given only: "*" is any, "*.example.net" every name below example.net.

    A name that is not served is a 421, a Host header that is none, or comes twice, a 400. Probes are exempt.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self.app = app
        # A Host header has an IPv6 address in brackets.
        names = (f"[{host}]" if ":" in host and "[" not in host else host for host in hosts)
        self.names = frozenset(name.lower() for name in names if not name.startswith("*."))
        self.domains = tuple(host[1:].lower() for host in hosts if host.startswith("*."))

    def _refusal(self, scope: Scope) -> AppError | None:
        given = Headers(scope=scope).getlist("host")
        host = HOST.fullmatch(given[0]) if len(given) == 1 else None
        if host is None:
            return AppError(400, "host_invalid", "A request needs exactly one Host header with a host name.")
        name = host["name"].lower().removesuffix(".")
        return None if name in self.names or name.endswith(self.domains) else standard_error(421)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or "*" in self.names or scope["path"] in PROBES:
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        app = self.app if refusal is None else problem_response(Request(scope), refusal)
        await app(scope, receive, send)


class CrossOrigin(CORSMiddleware):
    """Lets pages of the origins given call the service; a preflight that is refused is a problem, too."""

    def __init__(self, app: ASGIApp, origins: Collection[str], credentials: bool) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            allow_credentials=credentials,
            expose_headers=RESPONSE_HEADERS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if scope["type"] == "http" and scope["method"] == "OPTIONS" and "origin" in headers:
            preflight = "access-control-request-method" in headers
            answer = self.preflight_response(headers) if preflight else None
            if answer is not None and answer.status_code >= 400:
                message = "Pages may not send this: the origin, the method or a header is refused."
                problem = problem_response(Request(scope), AppError(400, "cross_origin_refused", message))
                MutableHeaders(raw=problem.raw_headers)["Vary"] = answer.headers["vary"]
                await problem(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


class Head:
    """Answers HEAD as GET without the body (RFC 9110, 9.3.2); what has no GET is refused."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        # The same scope, not a copy: the route that is found in it goes into the access line.
        scope["method"] = "GET"
        try:
            await self.app(scope, receive, send_without_body)
        finally:
            scope["method"] = "HEAD"


class BodyLimit:
    """Refuses a body of more than `largest` bytes with 413: by its declared length or once they came."""

    def __init__(self, app: ASGIApp, largest: int) -> None:
        self.app = app
        self.largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and (len(declared) > LONGEST_LENGTH or int(declared) > self.largest):
            await problem_response(Request(scope), standard_error(413))(scope, receive, send)
            return
        received = 0

        async def receive_within_limit() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.largest:
                # The one class of exceptions that FastAPI passes on from where it reads a body.
                raise HTTPException(413)
            return message

        await self.app(scope, receive_within_limit, send)
