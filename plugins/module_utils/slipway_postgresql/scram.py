"""SCRAM-SHA-256 verifiers as PostgreSQL stores them (RFC 5802, RFC 7677): no password is ever sent."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import stringprep
import unicodedata

ITERATIONS = 4096
SALT_BYTES = 16

VERIFIER = re.compile(r"SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)\Z")

PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)


def breaks_bidirectional_rule(text: str) -> bool:
    """RFC 3454 section 6: a right-to-left text starts and ends so, and holds nothing left-to-right."""
    if not any(stringprep.in_table_d1(character) for character in text):
        return False
    if any(stringprep.in_table_d2(character) for character in text):
        return True
    return not (stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1]))


def prepare(password: str) -> str:
    """SASLprep the way PostgreSQL does it: ASCII passes unchanged, and so does whatever SASLprep forbids."""
    if password.isascii():
        return password
    # U+200B is in both tables; the server takes it for a space.
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in password
        if stringprep.in_table_c12(character) or not stringprep.in_table_b1(character)
    )
    # The server looks for forbidden characters before it normalizes, so this does too.
    if not mapped or any(forbidden(character) for forbidden in PROHIBITED for character in mapped):
        return password
    if breaks_bidirectional_rule(mapped):
        return password
    return unicodedata.normalize("NFKC", mapped)


def keys(password: str, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    """(StoredKey, ServerKey) of `password`."""
    salted = hashlib.pbkdf2_hmac("sha256", prepare(password).encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256")


def is_verifier(text: str) -> bool:
    return VERIFIER.match(text) is not None


def verifier(password: str) -> str:
    """A new verifier of `password`, with a salt of its own; a verifier is returned as it is."""
    if is_verifier(password):
        return password
    salt = secrets.token_bytes(SALT_BYTES)
    stored_key, server_key = keys(password, salt, ITERATIONS)
    encoded = [base64.b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${ITERATIONS}:{encoded[0]}${encoded[1]}:{encoded[2]}"


def matches(password: str, stored: str | None) -> bool:
    """Whether `stored` (pg_authid.rolpassword) lets `password` in; an MD5 hash never matches."""
    if stored is None:
        return False
    if is_verifier(password):
        return hmac.compare_digest(password, stored)
    match = VERIFIER.match(stored)
    if match is None:
        return False
    try:
        salt, stored_key, server_key = (base64.b64decode(match[part], validate=True) for part in (2, 3, 4))
    except binascii.Error:
        return False
    wanted_stored_key, wanted_server_key = keys(password, salt, int(match[1]))
    return hmac.compare_digest(wanted_stored_key, stored_key) and hmac.compare_digest(
        wanted_server_key, server_key
    )
