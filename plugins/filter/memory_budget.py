"""Whether all services of a host fit into its memory together."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

UNITS = {"": 1 / (1 << 20), "K": 1 / 1024, "M": 1, "G": 1024, "T": 1 << 20}


def memory_budget(facts: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """A sentence when they do not; nothing where the host has one service, whose own limits are its own business.

    facts are host_facts'. wanted: name, high (app_memory_high; "" where no release runs here) and share
    (postgresql_memory_share; 0 where it has no database here). A release of each is counted, one more of the largest,
    and what each PostgreSQL may count on.
    """
    others = dict(facts.get("memory_others") or {})
    if not others:
        return []
    memory = int(facts["memtotal_mb"])
    own = {"release": mebibytes(str(wanted["high"])), "database": int(memory * float(wanted["share"]))}
    services = {**others, str(wanted["name"]): own}
    releases = [each["release"] for each in services.values()]
    needed = sum(releases) + max(releases) + sum(each["database"] for each in services.values())
    if needed <= memory:
        return []
    listed = "; ".join(
        f"{name}: {each['release']} for a release, {each['database']} for PostgreSQL"
        for name, each in sorted(services.items())
    )
    return [
        f"This host has {memory} MiB of memory, and its services may take {needed} together, with a second release of "
        f"one while it is deployed ({listed}): lower app_memory_high or postgresql_memory_share of one of them, and "
        "run site.yml with its inventory first, or give the host more."
    ]


def mebibytes(text: str) -> int:
    """Of a size such as 768M; 0 for anything else, such as infinity."""
    found = re.fullmatch(r"([0-9]+)([KMGT]?)", text)
    return int(int(found[1]) * UNITS[found[2]]) if found else 0


class FilterModule:
    """What Ansible loads from this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"memory_budget": memory_budget}
