"""What only shows when hosts are compared, by the filter with which verify.yml compares them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plugins.filter import verify_complaints


def complaints(hosts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    everybody = [dict(said) for said in hosts.values()]
    found = [
        sentence
        for said in everybody
        for sentence in (
            *verify_complaints.releases(said, everybody),
            *verify_complaints.connections(said, everybody),
        )
    ]
    return list(dict.fromkeys(found))
