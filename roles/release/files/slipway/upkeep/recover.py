"""`slipway recover`: whatever happened before, this host ends with one live release, running, and nothing left over."""

from __future__ import annotations

from typing import Any

from slipway.errors import StepError
from slipway.releases import kept
from slipway.releases.stage import half_built, stage_leftovers, sweep
from slipway.traffic import drain, further, gate, timers, warm
from slipway.traffic.settle import leftovers, put_away, unit_states
from slipway.turns.session import Report, Session


def recover(session: Session, seconds: float) -> Report:
    """seconds: how long the live release may take to answer when it had to be started."""
    live = kept.live(session.host)
    torn = session.journal.is_torn()
    closing = [entry for entry in session.journal.read().unfinished() if entry["step"] != "recover"]
    facts: dict[str, Any] = {
        "live": live,
        "ready": None,
        "started": False,
        "stopped": [],
        "disabled": [],
        "timers": [],
        "drained": drain.read(session.host),
    }
    if not torn and not closing and not session.journal.broken_off("recover") and _is_whole(session, live):
        ready = live is not None and gate.of_traffic(session.host, live).ready(live)
        result = {**facts, "ready": ready if live else None, "removed": [], "closed": [], "torn": False}
        return Report(False, result, "Nothing to recover; nothing was changed.")
    with session.journal.step("recover", live) as outcome:
        closed = _close(session, closing)
        removed = sweep(session)
        _bring_back(session, live, seconds, facts)
        _clear(session, live, facts)
        result = {**facts, "removed": removed, "closed": closed, "torn": torn}
        outcome.update(result)
    return Report(True, result, f"Recovered: {live or 'nothing'} is live.")


def _is_whole(session: Session, live: str | None) -> bool:
    states = unit_states(session)
    own = states.get(live) if live else None
    stopping, disabling = leftovers(states, {live, _warm(session, live)}, live)
    return (
        (live is None or (own is not None and own.running and own.enabled))
        and not (stopping or disabling or half_built(session.host) or stage_leftovers(session.host))
        and not _stale_timers(session, live)
        and (_warm(session, live) is not None or warm.read(session.host) is None)
        and further.is_handed_over(session, live)
        and timers.is_followed(session, live)
    )


def _warm(session: Session, live: str | None) -> str | None:
    """The release that is still to be warm, with the timer that ends it."""
    found = warm.read(session.host)
    return found.release if found and found.release != live and warm.is_kept(session, found.release) else None


def _stale_timers(session: Session, live: str | None) -> list[str]:
    kept = _warm(session, live)
    return [name for name in session.systemd.timers() if name != kept]


def _close(session: Session, entries: list[dict[str, Any]]) -> list[str]:
    """Ends the steps that a killed run began: from now on the journal says that they never came to their end."""
    for entry in entries:
        session.journal.record(
            entry["step"], "end", entry.get("release"), "abandoned", details=entry.get("details")
        )
    return [entry["step"] for entry in entries]


def _bring_back(session: Session, live: str | None, seconds: float, facts: dict[str, Any]) -> None:
    if live is None:
        return
    unit = session.host.unit(live)
    if kept.find(session.host, live).manifest is None:
        raise StepError(
            "live-missing",
            f"{session.host.current} points to {live}, which is not complete on this host: nothing can be started. "
            "`slipway list` shows what is here; start another release, then: slipway switch ID",
            release=live,
        )
    state = session.systemd.state(unit)
    if not state.enabled:
        session.systemd.enable(unit)
    if not state.running:
        facts["started"] = True
        session.systemd.start(unit)
    path = session.host.current / "http.sock"
    answer = gate.wait_until_ready(session.systemd, live, path, seconds).passed if facts["started"] else None
    facts["ready"] = gate.of_traffic(session.host, live).ready(live) if answer is None else answer


def _clear(session: Session, live: str | None, facts: dict[str, Any]) -> None:
    kept = _warm(session, live)
    facts["timers"] = _stale_timers(session, live)
    for name in facts["timers"]:
        warm.forget(session, name)
    if kept is None:
        warm.forget(session)
    stopping, disabling = leftovers(unit_states(session), {live, kept}, live)
    facts.update(stopped=stopping, disabled=disabling, warm=kept)
    failures = put_away(session, disabling, stopping)
    if failures := [*failures, *further.put_right(session, live), *timers.put_right(session, live)]:
        raise StepError(
            "recover-unfinished",
            f"{live or 'Nothing'} is live, but what runs beside it is not as it should be: {' '.join(failures)} "
            "Type: slipway recover",
            failures=failures,
        )
