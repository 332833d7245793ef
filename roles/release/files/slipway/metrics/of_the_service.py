"""What `slipway status` knows of the service, as samples; nothing on a host that has no release."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from slipway.host import Host
from slipway.metrics.exposition import Sample


def samples(host: Host, status: dict[str, Any]) -> Iterator[Sample]:
    """status: the result of slipway status."""
    live = status["live"]
    if live:
        yield from _live(host, live)
    states = Counter(each["state"] for each in status["releases"])
    for state in ("live", "verified", "staged", "warm", "bad", "damaged", "half-built"):
        yield "slipway_releases", {"state": state}, states[state]
    yield from _rollout(status["last_record"])
    yield from _lease(status["lease"])
    yield "slipway_unfinished_steps", {}, len(status["unfinished"])
    yield "slipway_journal_torn_lines", {}, len(status["journal_torn"])
    yield "slipway_drained", {}, status["drained"] is not None
    yield "slipway_maintenance", {}, status["maintenance"] is not None


def _live(host: Host, live: dict[str, Any]) -> Iterator[Sample]:
    yield "slipway_release_info", {"release": live["release"], "git_sha": str(live["git_sha"] or "")}, 1
    yield "slipway_release_live_since_timestamp_seconds", {}, host.current.lstat().st_mtime
    yield "slipway_release_ready", {}, bool(live["socket"]["ready"])
    applied, head = str(live["schema_applied"] or ""), str(live["schema_head"] or "")
    yield "slipway_schema_info", {"applied": applied, "head": head}, 1
    yield "slipway_schema_contracts_waiting", {}, _contracts(live["schema_revisions"] or [], applied)


def _contracts(revisions: list[dict[str, Any]], applied: str) -> int:
    """How many that take away come after the applied one; none where it is not known which that is."""
    ids = [each["id"] for each in revisions]
    if applied not in ids:
        return 0
    return sum(each["kind"] != "expand" for each in revisions[ids.index(applied) + 1 :])


def _rollout(said: dict[str, Any] | None) -> Iterator[Sample]:
    if said is None:
        return
    kind, _, phase = str(said["kind"]).partition(".")
    details = said["details"] or {}
    yield "slipway_rollout_timestamp_seconds", {"kind": kind}, _moment(said["time"])
    yield "slipway_rollout_running", {}, phase == "begin"
    if phase == "end":
        yield "slipway_rollout_failed", {}, details.get("result") != "ok"
        for name, key, unit in (
            ("slipway_rollout_lost", "lost", 1.0),
            ("slipway_rollout_max_gap_seconds", "max_gap_ms", 1000.0),
        ):
            if isinstance(details.get(key), (int, float)):
                yield name, {}, details[key] / unit


def _lease(said: dict[str, Any] | None) -> Iterator[Sample]:
    held = {"state": said["state"], "freeze": "yes" if said["freeze"] else "no"} if said else {}
    yield "slipway_lease_held", held, said is not None
    if said and isinstance(said["idle"], (int, float)):
        yield "slipway_lease_idle_seconds", {}, said["idle"]


def _moment(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
