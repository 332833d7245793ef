"""`slipway activate`: start a release beside the live one, let it prove itself, move the traffic to it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from slipway import gate, releases
from slipway.errors import SlipwayError, StepError, UnfinishedError
from slipway.session import Report, Session


@dataclass(frozen=True)
class Plan:
    """live: where `current` points now. previous: the release to put away after the switch.

    abandoned: instances a killed run may have left. resumed: an earlier activation never came to its end.
    began: seconds since 1970; older lines of the unit's journal tell of other attempts.
    """

    release: str
    live: str | None
    previous: str | None
    abandoned: frozenset[str]
    resumed: bool
    began: float = field(default_factory=time.time)


def activate(session: Session, release: str, seconds: float, keep_previous: bool) -> Report:
    """seconds: how long it may take to become ready. keep_previous: leave the old instance running."""
    manifest = releases.require_staged(session.host, release)
    plan = _plan(session, release)
    result = {"release": release, "previous": plan.previous, "schema_head": manifest["schema_head"]}
    if _settled(session, plan):
        return Report(False, result, f"Release {release} is already live; nothing was changed.")
    with session.journal.step("activate", release, previous=plan.previous, keep_previous=keep_previous):
        _bring_up(session, plan, seconds)
        _retire(session, plan, keep_previous)
    return Report(True, result, f"Release {release} is live. Before it: {plan.previous or 'nothing'}.")


def _plan(session: Session, release: str) -> Plan:
    live = releases.live(session.host)
    last = session.journal.read().last("activate")
    broken_off = last is not None and (
        last["phase"] == "begin" or (last.get("result") == "failed" and last["release"] == live)
    )
    if last is None or not broken_off:
        return Plan(release, live, None if live == release else live, frozenset(), False)
    # Killed after the switch, `current` is this release: only the journal knows the one before.
    before = last.get("details", {}).get("previous")
    previous = before if live == release else live
    abandoned = frozenset(name for name in (before, last["release"]) if name and name not in (live, release))
    return Plan(release, live, previous if previous != release else None, abandoned, True)


def _settled(session: Session, plan: Plan) -> bool:
    if plan.live != plan.release or plan.resumed:
        return False
    states = session.systemd.instances(_known(session))
    own = states[plan.release]
    others_enabled = any(state.enabled for name, state in states.items() if name != plan.release)
    path = session.host.release(plan.release) / "http.sock"
    return own.running and own.enabled and not others_enabled and gate.probe(path).ready(plan.release)


def _known(session: Session) -> list[str]:
    return [found.id for found in releases.installed(session.host)]


def _bring_up(session: Session, plan: Plan, seconds: float) -> None:
    """Start, gate, switch; on failure the pointer is what it was and the new instance is stopped."""
    journal, systemd, release, live = session.journal, session.systemd, plan.release, plan.live
    unit = session.host.unit(release)
    try:
        with journal.step("start", release):
            if not systemd.state(unit).running:
                started = systemd.start(unit)
                if not started.ok:
                    raise _not_ready(session, plan, f"{unit} did not start: {started.tail(3)}", None)
        with journal.step("gate", release):
            verdict = gate.wait_until_ready(
                systemd, release, session.host.release(release) / "http.sock", seconds
            )
            if not verdict.passed:
                raise _not_ready(session, plan, verdict.reason, verdict.probe)
        # Enabled before the switch: whatever `current` says after a power cut, that release starts.
        with journal.step("enable", release):
            systemd.enable(unit)
        if live != release:
            with journal.step("switch", release, previous=live):
                releases.point_to(session.host, release)
                _verify(session, plan)
    except BaseException as failure:
        if live != release:
            _undo(session, plan, failure)
        raise


def _undo(session: Session, plan: Plan, cause: BaseException) -> None:
    unit = session.host.unit(plan.release)
    try:
        with session.journal.step("undo", plan.release):
            if releases.live(session.host) != plan.live:
                releases.point_to(session.host, plan.live)
            session.systemd.disable(unit)
            session.systemd.stop(unit)
    except SlipwayError as failure:
        raise StepError(
            "undo-failed",
            f"{cause}\nPutting the new instance away failed too: {failure.message} "
            f"Traffic goes where it went before. Type: systemctl disable --now {unit}",
            unit=unit,
        ) from cause


def _verify(session: Session, plan: Plan) -> None:
    answer = gate.probe(session.host.current / "http.sock")
    if not answer.ready(plan.release):
        reason = f"after the switch {session.host.current} did not answer for it"
        raise _not_ready(session, plan, reason, answer)


def _not_ready(session: Session, plan: Plan, reason: str, answer: gate.Probe | None) -> StepError:
    unit = session.host.unit(plan.release)
    lines = session.systemd.journal(unit, plan.began)
    after = (
        "It stays the live release and its unit is left to systemd"
        if plan.live == plan.release
        else "Its instance was stopped; traffic goes where it went before"
    )
    probe = f"Last answer: {answer.describe()}\n" if answer else ""
    shown = "\n".join(lines)
    return StepError(
        "gate-failed",
        f"Release {plan.release} did not become ready: {reason}. {after}.\n{probe}"
        f"The last lines of its journal:\n{shown}",
        unit=unit,
        reason=reason,
        probe=vars(answer) if answer else None,
        journal=lines,
    )


def _retire(session: Session, plan: Plan, keep_previous: bool) -> None:
    """Takes the other releases out of the boot; stops the previous one and what a killed run started."""
    leaving = set(plan.abandoned) | ({plan.previous} if plan.previous else set())
    kept = {plan.previous} if keep_previous else set()
    try:
        states = session.systemd.instances(_known(session))
        stopping = sorted((leaving - kept) & states.keys())
        with session.journal.step("retire", plan.release, stopped=stopping):
            for name, state in states.items():
                if name != plan.release and state.enabled:
                    session.systemd.disable(session.host.unit(name))
            for name in stopping:
                session.systemd.stop(session.host.unit(name))
    except SlipwayError as failure:
        raise UnfinishedError(
            "retire-failed",
            f"Release {plan.release} is live and serving, but the release before it could not be put away: "
            f"{failure.message} Type: slipway activate {plan.release}",
            release=plan.release,
        ) from failure
