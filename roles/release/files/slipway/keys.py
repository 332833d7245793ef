"""Keys as OpenSSH names them."""

from __future__ import annotations

import base64
import hashlib


def fingerprint(key: bytes) -> str:
    """As ssh-keygen -l shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
