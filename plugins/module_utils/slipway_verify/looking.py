"""One look at a host: for verify.yml, which ships it, and for `fab doctor`, which finds it there as a program."""

from __future__ import annotations

import json
import os
import tempfile
import time
from typing import Any

from . import access, database, live, nginx, service, system, updates, watching
from . import edge as edges
from .running import run

# Gone with a reboot, after which another look is due.
RESULT = "/run/slipway/{app}/verify.json"


def look(wanted: dict[str, Any]) -> dict[str, Any]:
    """{complaints: {what was looked at: sentences}}, and what only shows when hosts are compared.

    wanted: service, units; app, database, edge, monitoring where the host is one of them.
    """
    seen, _ = _looked(wanted)
    return seen


def look_closely(wanted: dict[str, Any]) -> dict[str, Any]:
    """The same, with the facts that the items of the doctor's list are judged by."""
    seen, status = _looked(wanted)
    app = wanted["service"]
    facts: dict[str, Any] = {
        "cores": os.cpu_count(),
        "reboot": updates.reboot(),
        "sshd": access.sshd(),
        "firewall": access.firewall(),
        "rotation": live.rotation(app, time.time()),
    }
    if wanted.get("app"):
        facts["secrets"] = access.secrets(app)
        facts["live"] = live.facts(app, wanted["app"]["prefix"], status)
    if wanted.get("database"):
        facts["sessions"] = database.sessions(wanted["database"], app)
        facts["takeover"] = run("systemctl", "is-active", "patroni").stdout.strip() == "active"
    if wanted.get("edge"):
        facts["edge"] = edges.facts(edges.Client(wanted["edge"]), wanted["edge"].get("path") or "")
        facts["nginx"] = nginx.facts(app)
    if wanted.get("monitoring"):
        facts["prometheus"] = watching.facts(int(wanted["monitoring"]["port"]))
    return {**seen, "facts": facts}


def _looked(wanted: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    app = wanted.get("app")
    failed, foreign = system.failed(app["name"] if app else None)
    complaints: dict[str, list[str]] = {
        "units": [*system.units(wanted["units"]), *failed],
        "disks": system.disks(app["name"] if app else None),
        "certificates": system.certificates(),
        "updates": updates.complaints(),
    }
    seen: dict[str, Any] = {"complaints": complaints, "notes": foreign}
    status = None
    if wanted.get("database"):
        complaints["database"], seen["connections_left"] = database.database(wanted["database"])
    if app:
        complaints["release"], status = service.release(app["name"])
        seen["live"] = (status.get("live") or {}).get("release") if status else None
        if app.get("redis"):
            complaints["release"] += live.cache_complaints(app["name"], app["prefix"], app["redis"])
        seen["connections"] = service.connections(app["name"], app["prefix"])
    if wanted.get("edge"):
        complaints["edge"] = edges.complaints(edges.Client(wanted["edge"]))
    return seen, status


def notes() -> list[str]:
    """What is worth knowing and no fault of the host; to find it takes seconds."""
    return system.network() + updates.notes()


def leave(app: str, complaints: dict[str, list[str]], result: str = "") -> None:
    """Leave how the look went where `slipway metrics` finds it, whole or not at all. Raises OSError."""
    path = (result or RESULT).format(app=app)
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    said = {"time": time.time(), "complaints": sum(map(len, complaints.values()))}
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".verify-")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(said, stream)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)
