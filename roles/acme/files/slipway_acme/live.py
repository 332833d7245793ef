"""Put a pair where nginx reads it: checked, written beside, renamed, and kept only when clients are shown it.

Whoever kills this leaves the old pair or the new one under the live name; the next run clears up and goes on.
"""

from __future__ import annotations

import contextlib
import grp
import os
import socket
import ssl
import time
from pathlib import Path

from slipway_acme import lineage, pair
from slipway_acme.errors import AcmeError, UnfitError
from slipway_acme.pair import Pair
from slipway_acme.settings import Settings

# nginx's workers read it at every handshake.
GROUP, MODE = "www-data", 0o640
PORT = 443
SECONDS = 15.0


def put_in_place(settings: Settings) -> bool:
    """Have the lineage's pair served; whether it was not before. Raises AcmeError, and then what was served stays."""
    live = settings.certificate
    new, before = live.with_name(f"{live.name}.new"), live.with_name(f"{live.name}.before")
    chain, key = lineage.files(settings)
    try:
        text = chain.read_bytes() + key.read_bytes()
        fresh = not live.exists() or live.read_bytes() != text
        if fresh:
            _prepare(new, text)
            found = _judged(new, settings)
            _exchange(new, live, before)
        else:
            found = pair.judged(live, live, settings.names)
            new.unlink(missing_ok=True)
        trouble = unserved(found, settings.names[0])
        if not trouble:
            before.unlink(missing_ok=True)
            return fresh
        if before.exists():
            os.rename(before, live)
            _sync(live.parent)
            trouble += "; the one before was put back"
    except OSError as problem:
        raise AcmeError(
            f"{problem.filename or live} could not be written or read: {problem.strerror}."
        ) from problem
    raise AcmeError(f"{live} was renewed, but {trouble}: nginx -t, then systemctl status nginx.")


def _prepare(new: Path, text: bytes) -> None:
    """Write the file beside the live one, on disk and with its owner before this returns."""
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(text)
            stream.flush()
            os.fchown(stream.fileno(), 0, grp.getgrnam(GROUP).gr_gid)
            os.fchmod(stream.fileno(), MODE)
            os.fsync(stream.fileno())
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _judged(new: Path, settings: Settings) -> Pair:
    try:
        return pair.judged(new, new, settings.names)
    except UnfitError:
        new.unlink()
        raise


def _exchange(new: Path, live: Path, before: Path) -> None:
    before.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.link(live, before)
    os.rename(new, live)
    _sync(live.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def unserved(found: Pair, name: str) -> str:
    """Why a client of this host is not shown the pair's certificate, "" as soon as one is."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            if _shown(name) == found.leaf:
                return ""
            trouble = f"port {PORT} shows {name} another certificate"
        except OSError as problem:
            trouble = f"port {PORT} shows {name} none ({problem})"
        if time.monotonic() > deadline:
            return trouble
        time.sleep(0.2)


def _shown(name: str) -> bytes | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Which certificate it is, is asked; whether it is good was judged before.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", PORT), 5) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        return secure.getpeercert(binary_form=True)
