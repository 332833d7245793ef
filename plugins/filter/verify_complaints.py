"""What is wrong with a host, and what only shows when several are compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# What on call, backups and the migrator open beside the service.
OTHERS = 10


def verify_complaints(seen: dict[str, Any], everybody: list[dict[str, Any]]) -> list[str]:
    """The complaints of host_verify about one host, and those that follow from what it said of all of them."""
    return [
        *(sentence for said in seen["complaints"].values() for sentence in said),
        *releases(seen, everybody),
        *connections(seen, everybody),
    ]


def releases(seen: dict[str, Any], everybody: list[dict[str, Any]]) -> list[str]:
    live = sorted({str(other["live"]) for other in everybody if other.get("live")})
    if "live" not in seen or len(live) < 2:
        return []
    return [f"the app hosts serve different releases, {' and '.join(live)}: fab deploy brings them to one"]


def connections(seen: dict[str, Any], everybody: list[dict[str, Any]]) -> list[str]:
    left = seen.get("connections_left")
    wanted = OTHERS + sum(other.get("connections") or 0 for other in everybody)
    if left is None or wanted <= left:
        return []
    return [
        f"PostgreSQL: the service may open {wanted} connections, and max_connections leaves it {left}: "
        "raise postgresql_max_connections, or use smaller pools"
    ]


class FilterModule:
    """What Ansible loads from this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"verify_complaints": verify_complaints}
