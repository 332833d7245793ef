"""What a release took when it was started: whether that is what the host has now."""

from __future__ import annotations

import hashlib
from pathlib import Path

from slipway.host import Host

TOKEN_KEYS = ("secret_key", "secret_key_previous")


def newer(host: Host, live: str) -> list[str]:
    """Paths of the settings that a running release was started without: its socket is as old as it is."""
    try:
        started = host.runtime_socket(live).stat().st_mtime_ns
    except FileNotFoundError:
        return []
    unit = host.path(f"/etc/systemd/system/{host.app}@.service")
    paths = [*host.path(f"/etc/{host.app}").rglob("*"), unit, *_trusted(host)]
    later = [path for path in paths if path.is_file() and path.stat().st_mtime_ns > started]
    return sorted("/" + str(path.relative_to(host.root)) for path in later)


def _trusted(host: Host) -> list[Path]:
    """The authorities that the service's settings name: it reads them when it starts."""
    settings = host.path(f"/etc/{host.app}/{host.app}.env")
    lines = settings.read_text(encoding="utf-8").splitlines() if settings.is_file() else []
    values = {line.partition("=")[2].strip().strip('"') for line in lines}
    return [host.path(value) for value in sorted(values) if value.endswith("/ca.pem")]


def token_keys(host: Host) -> dict[str, str]:
    """A name for each key of the service's tokens, by which a controller knows it again; empty for one it lacks.

    The keys are long and made by chance: nobody finds them by their names.
    """
    found = {}
    for name in TOKEN_KEYS:
        try:
            key = host.credential(name).read_bytes().strip()
        except OSError:
            key = b""
        found[name] = hashlib.sha256(key).hexdigest()[:16] if key else ""
    return found
