"""What the monitoring host's Prometheus says of whom it asks and what it judges."""

from __future__ import annotations

import json
import urllib.request
from typing import Any


def facts(port: int) -> dict[str, Any]:
    """{up, down: names, rules: names}, or {problem}."""
    try:
        targets = _asked(port, "targets?state=active")["activeTargets"]
        groups = _asked(port, "rules?type=alert")["groups"]
    except (OSError, ValueError, KeyError, TypeError) as failure:
        return {"problem": f"{type(failure).__name__}: {failure}"}
    down = [
        f"{each['labels'].get('job')} of {each['labels'].get('host')}" for each in targets if not _up(each)
    ]
    return {
        "up": len(targets) - len(down),
        "down": sorted(down),
        "rules": sorted({rule["name"] for group in groups for rule in group["rules"]}),
    }


def _up(target: dict[str, Any]) -> bool:
    return bool(target["health"] == "up")


def _asked(port: int, what: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{what}", timeout=5) as answer:
        return dict(json.loads(answer.read(1 << 24))["data"])
