"""A client of the service as the public is: HTTPS with the authority's certificate, one connection a request."""

import gzip
import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

PATIENCE = 15.0


@dataclass(frozen=True)
class Response:
    """An answer: status, headers (names in any case) and body, unpacked."""

    status: int
    headers: Message
    body: bytes

    def json(self) -> Any:
        """Return the body read as JSON."""
        return json.loads(self.body)

    def __str__(self) -> str:
        return f"HTTP {self.status}\n{self.headers}{self.body[:2000].decode(errors='replace')}"


@dataclass(frozen=True)
class Site:
    """The public site on one address, whose certificate comes from the authority in the file ca."""

    address: str
    ca: Path

    def context(self) -> ssl.SSLContext:
        """Return a TLS client that trusts this authority alone."""
        return ssl.create_default_context(cafile=str(self.ca))

    def get(self, path: str, **headers: str) -> Response:
        """GET a path over HTTPS; an underscore in a header's name stands for a hyphen."""
        return self.request("GET", path, {name.replace("_", "-"): value for name, value in headers.items()})

    def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Response:
        """Ask over HTTPS."""
        connection = http.client.HTTPSConnection(self.address, timeout=PATIENCE, context=self.context())
        length = {"Content-Length": str(len(body))} if body else {}
        return answer(connection, method, path, {**(headers or {}), **length}, body)

    def plain(self, path: str, host: str | None = None) -> Response:
        """GET a path over HTTP without TLS, for a host of another name when one is given."""
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        return answer(connection, "GET", path, {"Host": host} if host else {})

    def handshake(self, context: ssl.SSLContext) -> ssl.SSLSocket:
        """Return a connection over which TLS has been agreed on; raise ssl.SSLError when it could not be."""
        plain = socket.create_connection((self.address, 443), timeout=PATIENCE)
        return context.wrap_socket(plain, server_hostname=self.address)

    def certificate(self) -> bytes:
        """Return the certificate that is served, DER."""
        with self.handshake(self.context()) as connection:
            found = connection.getpeercert(binary_form=True)
        assert found
        return found

    def ready(self) -> bool:
        """Say whether the service answers that it can do its work."""
        try:
            return self.get("/health/ready").status == 200
        except (OSError, http.client.HTTPException):
            return False


def answer(
    connection: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str], body: bytes = b""
) -> Response:
    """Ask once over a connection, and close it."""
    try:
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
        response = connection.getresponse()
        content = response.read()
        if response.headers["Content-Encoding"] == "gzip":
            content = gzip.decompress(content)
        return Response(response.status, response.headers, content)
    finally:
        connection.close()
