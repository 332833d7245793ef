"""`slipway status` and `slipway list`: what is on this host, without changing anything."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from slipway import gate, lock, releases
from slipway.errors import SlipwayError
from slipway.files import tree_size
from slipway.session import Report, Session
from slipway.systemd import UnitState

FACTS = ("git_sha", "dirty", "built_at", "staged_at", "schema_head")


def status(session: Session) -> Report:
    """The live release and all that is not as it should be."""
    host = session.host
    installed = releases.installed(host)
    states = session.systemd.instances(found.id for found in installed)
    live = releases.live(host)
    reading = session.journal.read()
    result = {
        "live": _live(session, live, states) if live else None,
        "previous": reading.before(live) if live else None,
        "running": sorted(name for name, state in states.items() if state.running),
        "half_built": [found.id for found in installed if found.manifest is None],
        "leftovers": _leftovers(session),
        "lock": lock.holder(host.lock),
        "unfinished": reading.unfinished(),
        "journal_torn": reading.torn,
    }
    return Report(False, result)


def _live(session: Session, live: str, states: dict[str, UnitState]) -> dict[str, Any]:
    try:
        facts = releases.find(session.host, live).manifest or {}
    except SlipwayError as failure:
        facts = {"problem": failure.message}
    answer = gate.probe(session.host.current / "http.sock")
    body = _json_or_text(answer.body)
    return {
        "release": live,
        **{name: facts.get(name) for name in FACTS},
        "schema_applied": body.get("schema_applied") if isinstance(body, dict) else None,
        "problem": facts.get("problem"),
        "unit": asdict(states[live]) if live in states else None,
        "socket": {
            "ready": answer.ready(live),
            "status": answer.status,
            "release": answer.release,
            "body": body,
            "error": answer.error,
        },
    }


def _leftovers(session: Session) -> list[str]:
    """Unpacked bundles and cut uploads of a killed run; the next `slipway stage` sweeps them."""
    host = session.host
    found = [*host.incoming.glob(".*.spool"), *host.staging.glob("*")]
    return sorted(str(path) for path in found)


def _json_or_text(body: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body


def list_releases(session: Session) -> Report:
    """Every release on this host, newest first."""
    installed = releases.installed(session.host)
    states = session.systemd.instances(found.id for found in installed)
    live = releases.live(session.host)
    rows = []
    for found in reversed(installed):
        facts = found.manifest or {}
        state = "live" if found.id == live else "staged" if found.manifest else "half-built"
        unit = states.get(found.id)
        rows.append(
            {
                "release": found.id,
                "state": state,
                **{name: facts.get(name) for name in FACTS},
                "bundle_sha256": facts.get("bundle_sha256"),
                "unit": unit.active if unit else "unknown",
                "enabled": bool(unit and unit.enabled),
                "size": tree_size(session.host.release(found.id)),
            }
        )
    return Report(False, {"releases": rows})
