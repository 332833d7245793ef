"""The live release of an app host, and the connections that it may open."""

from __future__ import annotations

import json
from typing import Any

from .access import settings
from .running import run

PROGRAM = "/usr/local/sbin/slipway"


def release(app: str) -> tuple[list[str], dict[str, Any] | None]:
    """Complaints about what is live of a service, and all that slipway says; None when it says nothing."""
    answer = run(PROGRAM, f"--app={app}", "status", "--json")
    try:
        said: dict[str, Any] = json.loads(answer.stdout)["result"]
        live, processes = said["live"], said.get("processes", [])
    except (ValueError, KeyError, TypeError):
        return [f"slipway does not answer ({answer.stderr.strip()}): run site.yml"], None
    if not live:
        return ["no release is live: run site.yml"], said
    name, found = live["release"], live["socket"]
    complaints = [_process(app, each) for each in processes if each["unit"]["active"] != "active"]
    if not found["ready"]:
        why = found["error"] or found["body"]
        complaints.insert(0, f"the release {name} is not ready ({why}): journalctl -u {app}@{name}")
    return complaints, said


def _process(app: str, process: dict[str, Any]) -> str:
    unit, state = f"{app}-process@{process['release']}:{process['name']}", process["unit"]
    return f"the process {process['name']} is {state['active']} ({state['sub']}): journalctl -u {unit}"


def connections(app: str, prefix: str) -> int:
    """How many connections two releases of this host may open at once, by settings whose names begin with prefix."""
    rows = settings(app)
    try:
        pool = int(rows[f"{prefix}DATABASE_POOL_SIZE"]) + int(rows[f"{prefix}DATABASE_MAX_OVERFLOW"])
        return 2 * int(rows[f"{prefix}WORKERS"]) * pool
    except (KeyError, ValueError):
        return 0
