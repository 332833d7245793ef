"""The table of alerts (roles/prometheus/files/alerts.yml) as rules of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

TOLD = ("sentence", "command", "runbook")
NEEDED = {"alert", "severity", "expr", *TOLD}
# No release of Prometheus since 2.24 takes another.
MAY = NEEDED | {"for"}


def alert_rules(table: list[dict[str, Any]], values: Mapping[str, Any]) -> dict[str, Any]:
    """The object of a rules file. values: what %(name)s stands for in an expression and what is told.

    Raises KeyError for a value that is not there, ValueError for a row that is none.
    """
    return {"groups": [{"name": "slipway", "rules": [_rule(row, values) for row in table]}]}


def _rule(row: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    if not NEEDED <= row.keys() <= MAY:
        raise ValueError(f"an alert has {', '.join(sorted(NEEDED))} and may have for: {row}")
    rule = {
        "alert": str(row["alert"]),
        "expr": str(row["expr"]) % values,
        "labels": {"severity": str(row["severity"])},
        "annotations": {name: (str(row[name]) % values).strip() for name in TOLD},
    }
    return {**rule, "for": str(row["for"])} if "for" in row else rule


class FilterModule:
    """What Ansible loads from this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"alert_rules": alert_rules}
