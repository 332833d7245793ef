"""The edge as a client on this host sees it, who checks its name and its authority."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from typing import Any

RUNBOOK = "docs/runbooks/host-does-not-serve.md"
# A page of somebody else, and more than any site takes at once.
STRANGER, LARGE = "https://doctor.invalid", 1 << 40
DOCS = ("/docs", "/redoc", "/openapi.json")
SECONDS = 10
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class Client:
    """Asks for one thing a connection. wanted: name, authority (a file, or a folder of them), and certificate, the file
    of what is to be shown."""

    def __init__(self, wanted: dict[str, Any], port: int = 443) -> None:
        self.name, self.port = wanted["name"].replace("*", "www", 1), port
        authority = wanted["authority"]
        self.trust = {"cafile": authority} if authority.endswith(".pem") else {"capath": authority}
        self.certificate: str | None = wanted.get("certificate")
        self.tls: str | None = None
        self.shown: bytes | None = None

    def ask(self, method: str, path: str, **headers: str) -> http.client.HTTPResponse:
        """The answer, its body unread. Raises OSError and HTTPException."""
        context = ssl.create_default_context(**self.trust)
        with (
            socket.create_connection(("127.0.0.1", self.port), SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=self.name) as secure,
        ):
            self.tls, self.shown = secure.version(), secure.getpeercert(binary_form=True)
            return _answer(secure, method, path, {"Host": self.name, **headers})

    def plain(self, port: int = 80) -> http.client.HTTPResponse:
        """The same without TLS, where a browser begins."""
        with socket.create_connection(("127.0.0.1", port), SECONDS) as connection:
            return _answer(connection, "GET", "/", {"Host": self.name})


def _answer(
    connection: socket.socket, method: str, path: str, headers: dict[str, str]
) -> http.client.HTTPResponse:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    connection.sendall(f"{method} {path} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode())
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    return response


def complaints(client: Client) -> list[str]:
    """What is wrong with the answer to whoever asks whether the service is ready."""
    try:
        found = client.ask("GET", "/health/ready")
    except (OSError, http.client.HTTPException) as error:
        return [f"the edge does not answer for {client.name} over TLS ({error}): {RUNBOOK}"]
    said = _shows_another(client)
    # A service may say elsewhere that it is ready, and then has nothing here.
    if found.status not in (200, 404):
        said.append(f"the edge answers HTTP/1.1 {found.status} {found.reason} for {client.name}: {RUNBOOK}")
    return said


def _shows_another(client: Client) -> list[str]:
    """A complaint where clients see another certificate than the one that was put in place for them."""
    if not client.certificate:
        return []
    try:
        with open(client.certificate, encoding="ascii", errors="replace") as stream:
            chain = CERTIFICATE.search(stream.read())
    except OSError as error:
        return [f"{client.certificate} cannot be read ({error.strerror}): run site.yml"]
    if chain and client.shown == ssl.PEM_cert_to_DER_cert(chain[0]):
        return []
    return [
        f"the edge shows {client.name} another certificate than {client.certificate} has: nginx still serves what it "
        f"read when it started; systemctl reload nginx"
    ]


def facts(client: Client, path: str) -> dict[str, Any]:
    """What a browser, a page of somebody else, and somebody with too much to say are answered at path."""
    try:
        page = client.ask("GET", path or "/", Origin=STRANGER)
        asked = {"Origin": STRANGER, "Access_Control_Request_Method": "POST"}
        before = client.ask("OPTIONS", path or "/", **asked)
        return {
            "tls": client.tls,
            "headers": {name.lower(): value for name, value in page.getheaders()},
            "origins": [answer.getheader("Access-Control-Allow-Origin") for answer in (page, before)],
            "docs": {place: client.ask("GET", place).status for place in DOCS},
            "large": client.ask("POST", path or "/", Content_Length=str(LARGE)).status,
            "plain": _redirect(client),
        }
    except (OSError, http.client.HTTPException) as error:
        return {"problem": f"{type(error).__name__}: {error}"}


def _redirect(client: Client) -> str | None:
    """Where somebody without TLS is sent, "" for nowhere; None where nobody answers at all."""
    try:
        return client.plain().getheader("Location") or ""
    except (OSError, http.client.HTTPException):
        return None
