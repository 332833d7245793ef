"""`slipway status` and `slipway list`: what is on this host, without changing anything."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import slipway
from slipway.clock import utc_now
from slipway.database import migrate
from slipway.errors import SlipwayError
from slipway.files import tree_size
from slipway.host import Host
from slipway.journal.reading import Reading
from slipway.releases import kept, marks, signatures
from slipway.releases.kept import Release
from slipway.releases.stage import stage_leftovers
from slipway.systemd import UnitState
from slipway.traffic import drain, further, gate, maintenance, timers, warm
from slipway.turns import fence, lease, lock
from slipway.turns.session import Report, Session
from slipway.upkeep import log_queues, settings

FACTS = (
    "git_sha",
    "author",
    "dirty",
    "built_at",
    "staged_at",
    "signed_by",
    "schema_head",
    "schema_revisions",
)
# What a controller records of a rollout begins with one of these.
ROLLOUTS = ("deploy", "rollback", "recover")


def status(session: Session) -> Report:
    """The live release and all that is not as it should be."""
    host = session.host
    installed = kept.installed(host)
    states = session.systemd.instances(found.id for found in installed)
    live = kept.live(host)
    reading = session.journal.read()
    result = {
        "program": {"version": slipway.__version__, "digest": slipway.DIGEST},
        "live": _live(session, live, states) if live else None,
        "previous": reading.before(live) if live else None,
        "before": came_before(reading, live) if live else [],
        "running": sorted(name for name, state in states.items() if state.running),
        "processes": further.describe(session, live),
        "timers": timers.names(session),
        "warm": warm.describe(host),
        "releases": [_state(host, found, live, states.get(found.id)) for found in reversed(installed)],
        "half_built": [found.id for found in installed if found.half_built],
        "damaged": {found.id: found.problem for found in installed if found.problem},
        "leftovers": [str(path) for path in stage_leftovers(host)],
        "time": utc_now(),
        "free_bytes": host.free_bytes(host.releases),
        "memory": _memory(host, live, states),
        "lock": lock.holder(host.lock),
        "fence": _fence(host),
        "lease": lease.current(host),
        "signatures": signatures.describe(host),
        "token_keys": settings.token_keys(host),
        "drained": drain.read(host),
        "maintenance": maintenance.read(host),
        "last_record": _last_record(reading),
        "migration": migrate.describe(session, reading),
        "unfinished": reading.unfinished(),
        "journal_torn": reading.torn,
        "log_queues": log_queues.faults(host),
    }
    return Report(False, result)


def _live(session: Session, live: str, states: dict[str, UnitState]) -> dict[str, Any]:
    found = kept.find(session.host, live)
    facts = found.manifest or {}
    answer = gate.of_traffic(session.host, live)
    return {
        "release": live,
        **{name: facts.get(name) for name in FACTS},
        "packages": packages(facts.get("files") or {}),
        "schema_applied": answer.schema or _applied(session, live),
        "problem": found.problem or None,
        "settings_newer": settings.newer(session.host, live),
        "unit": asdict(states[live]) if live in states else None,
        "socket": {
            "ready": answer.ready(live),
            "status": answer.status,
            "release": answer.release,
            "body": _json_or_text(answer.body),
            "error": answer.error,
        },
    }


def _applied(session: Session, live: str) -> str | None:
    """For a service that does not say it: to which revision the newest migration from here, if any, brought it."""
    if not kept.declaration(session.host, live).has_migrations:
        return None
    entries = reversed(session.journal.read(step="migrate").entries)
    return next((str(end) for entry in entries if (end := (entry.get("details") or {}).get("to"))), None)


def _memory(host: Host, live: str | None, states: dict[str, UnitState]) -> dict[str, Any]:
    """In bytes. available: what the kernel could still give; used: by running release; most: what one may take."""
    used = {
        name: state.memory for name, state in states.items() if state.running and state.memory is not None
    }
    most = states[live].memory_max if live in states else None
    return {"available": host.available_memory(), "used": used, "most": most}


def came_before(reading: Reading, live: str) -> list[str]:
    """What was live before the live release, the newest first, without what was gone back from.

    The order in which they came live is the order to go back in; a release's name says only when it was built.
    """
    order: list[str] = []
    for entry in reading.steps:
        if entry["step"].rpartition(".")[2] != "switch" or entry["phase"] != "end":
            continue
        if entry.get("result") not in ("ok", "abandoned") or not entry.get("release"):
            continue
        release, previous = entry["release"], (entry.get("details") or {}).get("previous")
        for name in (previous, release):
            if name in order:
                del order[order.index(name) + 1 :]
            elif name:
                order.append(name)
    return order[: order.index(live)][::-1] if live in order else order[::-1]


def packages(files: dict[str, Any]) -> dict[str, str]:
    """Version by name of the wheels that a release was built of."""
    found = {}
    for path in files:
        name, _, rest = path.rpartition("/")[2].partition("-")
        if path.endswith(".whl"):
            found[name.lower().replace("_", "-")] = rest.partition("-")[0]
    return found


def _fence(host: Host) -> int | None:
    """None when the file is damaged: every command with a fence is refused then, and says so."""
    try:
        return fence.read(host)
    except SlipwayError:
        return None


def _last_record(reading: Reading) -> dict[str, Any] | None:
    """The newest thing a controller said about a rollout."""
    for entry in reversed(reading.entries):
        if entry["phase"] == "note" and entry["step"].partition(".")[0] in ROLLOUTS:
            named = ("step", "time", "who", "fence", "release", "details")
            return {"kind" if name == "step" else name: entry.get(name) for name in named}
    return None


def _json_or_text(body: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body


def _state(host: Host, found: Release, live: str | None, unit: UnitState | None) -> dict[str, Any]:
    """One word for where a release stands, and the facts behind it."""
    bad, verified = (marks.read(host, found.id, mark) for mark in (marks.BAD, marks.VERIFIED))
    until = warm.until(host, found.id) if unit and unit.running and found.id != live else None
    if found.half_built:
        word = "half-built"
    elif found.id == live:
        word = "live"
    elif found.problem:
        word = "damaged"
    elif bad is not None:
        word = "bad"
    elif until is not None:
        word = "warm"
    else:
        word = "verified" if verified is not None else "staged"
    return {
        "release": found.id,
        "state": word,
        "running": bool(unit and unit.running),
        "warm_until": until,
        "verified_at": verified["time"] if verified else None,
        "verified": verified is not None,
        "bad": bad is not None,
        "bad_reason": bad["reason"] if bad else None,
        "schema_head": (found.manifest or {}).get("schema_head"),
    }


def list_releases(session: Session, sized: bool = True) -> Report:
    """Every release on this host, newest first. sized: with the bytes each takes, which means to visit every file."""
    installed = kept.installed(session.host)
    states = session.systemd.instances(found.id for found in installed)
    live = kept.live(session.host)
    rows = []
    for found in reversed(installed):
        facts = found.manifest or {}
        unit = states.get(found.id)
        rows.append(
            {
                **_state(session.host, found, live, unit),
                **{name: facts.get(name) for name in FACTS},
                "bundle_sha256": facts.get("bundle_sha256"),
                "unit": unit.active if unit else "unknown",
                "enabled": bool(unit and unit.enabled),
                "size": tree_size(session.host.release(found.id)) if sized else None,
            }
        )
    return Report(False, {"releases": rows})
