"""What the other services of a host may take of its memory, by the files that Slipway wrote for them."""

from __future__ import annotations

import re
from typing import Any

from ansible.module_utils.slipway_files import manifest

UNIT_FOLDER = "/etc/systemd/system"
CLUSTER = re.compile(r"/etc/postgresql/.*/conf\.d/slipway\.conf")
# A size of a unit: 768M. Without a limit there is none to add up.
HIGH = re.compile(r"^MemoryHigh=([0-9]+)([KMGT]?)$", re.MULTILINE)
# postgresql_settings makes it three quarters of the share.
CACHE = re.compile(r"^effective_cache_size = '([0-9]+)(kB|MB|GB|TB)?'$", re.MULTILINE)
UNITS = {"": 1 / (1 << 20), "K": 1 / 1024, "M": 1, "G": 1024, "T": 1 << 20}


def others(app: str) -> dict[str, dict[str, Any]]:
    """{service: {release, database}} in MiB: one release's MemoryHigh, and what its PostgreSQL here may count on."""
    return {name: _of(name) for name in manifest.services() if name != app}


def _of(name: str) -> dict[str, int]:
    written = manifest.read(name, "postgresql").files if "postgresql" in manifest.names(name) else {}
    settings = next((path for path in written if CLUSTER.fullmatch(path)), "")
    return {
        "release": _mebibytes(HIGH, f"{UNIT_FOLDER}/{name}@.service"),
        "database": _mebibytes(CACHE, settings) * 4 // 3,
    }


def _mebibytes(pattern: re.Pattern[str], path: str) -> int:
    try:
        with open(path, encoding="utf-8") as stream:
            found = pattern.search(stream.read())
    except OSError:
        return 0
    return int(int(found[1]) * UNITS[(found[2] or "").rstrip("B").upper()]) if found else 0
