"""Whether a chain and a key serve the public names: a handshake in memory, by the TLS that clients have."""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway_acme.errors import UnfitError

CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
# Of its lifetime, what is left when it is renewed.
LEFT = 1 / 3
# More than a handshake has.
FLIGHTS = 10


@dataclass(frozen=True)
class Pair:
    """leaf: the certificate that clients are shown, as DER. begins, ends: seconds since 1970."""

    leaf: bytes
    names: frozenset[str]
    begins: float
    ends: float

    @property
    def due(self) -> float:
        """When it is to be renewed."""
        return self.ends - LEFT * (self.ends - self.begins)


def judged(chain: Path, key: Path, names: Sequence[str]) -> Pair:
    """The pair of two PEM files, or of one that has both. Raises UnfitError."""
    certificates = _certificates(chain)
    if len(certificates) < 2:
        raise UnfitError(f"{chain} lacks the certificate of who signed it, without which clients refuse it")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(chain, key)
    except (ssl.SSLError, OSError) as problem:
        raise UnfitError(f"the key in {key} does not fit the certificate in {chain} ({problem})") from problem
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        client.load_verify_locations(cadata=certificates[-1])
    except ssl.SSLError as problem:
        raise UnfitError(f"{chain} is damaged ({problem})") from problem
    # Whether the authority itself is trusted is the clients' to say: a staging one is not.
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    shown: dict[str, Any] = {}
    for name in names:
        shown = _shown(server, client, name, chain)
    return Pair(
        ssl.PEM_cert_to_DER_cert(certificates[0]),
        frozenset(value for kind, value in shown["subjectAltName"] if kind == "DNS"),
        float(ssl.cert_time_to_seconds(shown["notBefore"])),
        float(ssl.cert_time_to_seconds(shown["notAfter"])),
    )


def _certificates(path: Path) -> list[str]:
    try:
        return CERTIFICATE.findall(path.read_text(encoding="ascii", errors="replace"))
    except OSError as problem:
        raise UnfitError(f"{path} cannot be read ({problem.strerror})") from problem


def _shown(server: ssl.SSLContext, client: ssl.SSLContext, name: str, chain: Path) -> dict[str, Any]:
    """The certificate that a client who asks for the name has accepted."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(there, back, server_hostname=name)
    answering = server.wrap_bio(back, there, server_side=True)
    try:
        for _ in range(FLIGHTS):
            if all([_advanced(asking), _advanced(answering)]):
                return dict(asking.getpeercert() or {})
    except ssl.SSLCertVerificationError as problem:
        raise UnfitError(f"{chain} is not good for {name}: {problem.verify_message}") from problem
    except ssl.SSLError as problem:
        raise UnfitError(f"{chain} serves no client of {name} ({problem})") from problem
    raise UnfitError(f"{chain} serves no client of {name}")


def _advanced(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
