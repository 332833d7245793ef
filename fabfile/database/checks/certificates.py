"""When a certificate ends, by the standard library: a database's host has no other (X.509, RFC 5280 section 4.1)."""

from __future__ import annotations

import re
import ssl
from datetime import datetime, timezone

FIRST = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
VERSION, TWO_DIGITS = 0xA0, 0x17


def ends(pem: str) -> datetime:
    """Of the first certificate in a text. Raises ValueError where there is none that can be read."""
    found = FIRST.search(pem)
    if not found:
        raise ValueError("there is no certificate in it")
    der = ssl.PEM_cert_to_DER_cert(found[0])
    try:
        return _ends(der)
    except IndexError:
        raise ValueError("the certificate is cut short") from None


def _ends(der: bytes) -> datetime:
    _, at, _ = _element(der, 0)  # the certificate
    _, at, _ = _element(der, at)  # what is signed of it
    tag, _, end = _element(der, at)
    at = end if tag == VERSION else at
    for _ in ("serial number", "algorithm", "issuer"):
        at = _element(der, at)[2]
    _, at, _ = _element(der, at)  # validity
    at = _element(der, at)[2]  # not before
    tag, at, end = _element(der, at)
    form = "%y%m%d%H%M%SZ" if tag == TWO_DIGITS else "%Y%m%d%H%M%SZ"
    return datetime.strptime(der[at:end].decode("ascii", "replace"), form).replace(tzinfo=timezone.utc)


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """(tag, where its content begins, where it ends)."""
    tag, length, at = der[at], der[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        at, length = at + count, int.from_bytes(der[at : at + count], "big")
    return tag, at, at + length
