"""`slipway start`, `gate`, `stop`: a release's instance beside the live one, until it has proved itself."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from slipway.errors import RefusedError, SlipwayError, StepError
from slipway.releases import kept, marks, signatures
from slipway.traffic import gate, warm
from slipway.turns.session import Report, Session

# What a program ends with that cannot run as it is configured (sysexits), and from where on systemd's own statuses are.
EX_CONFIG, HOSTS_STATUS = 78, 200


def start(session: Session, release: str) -> Report:
    """Starts the unit and does not wait until it answers; `gate` does."""
    signatures.require_good(session.host, release)
    unit = session.host.unit(release)
    warm.hold(session, release)
    state = session.systemd.state(unit)
    if state.running and not session.journal.broken_off("start"):
        result = {"release": release, "unit": asdict(state)}
        return Report(False, result, f"Release {release} is already running; nothing was changed.")
    with session.journal.step("start", release) as outcome:
        outcome.update(ended=_make_room(session, release))
        began = time.time()
        started = session.systemd.start(unit)
        if not started.ok:
            raise _start_failed(session, release, started.tail(3) or "no answer in time", began)
        result = {"release": release, "unit": asdict(session.systemd.state(unit))}
    return Report(True, result, f"Release {release} was started.")


def _make_room(session: Session, release: str) -> list[str]:
    """Ends what is neither live nor this one: connections and memory are there for two. Returns their ids."""
    staying = {release, kept.live(session.host)}
    states = session.systemd.instances(())
    ended = sorted(name for name, state in states.items() if not state.idle and name not in staying)
    for name in ended:
        session.systemd.stop(session.host.unit(name))
        warm.forget(session, name)
    return ended


def _start_failed(session: Session, release: str, said: str, began: float) -> StepError:
    unit = session.host.unit(release)
    lines = session.systemd.journal(unit, began)
    state = session.systemd.state(unit)
    # systemd's own begin at 200; with those and with 78 it is the host's settings that it did not start with.
    its_own = (
        state.result == "exit-code"
        and 0 < state.exit_status < HOSTS_STATUS
        and state.exit_status != EX_CONFIG
    )
    live = kept.live(session.host) == release
    if not live:
        session.systemd.stop(unit)
    after, blamed = _aftermath(session, release, f"it did not start: {said}", its_own)
    shown = "\n".join(lines)
    return StepError(
        "start-failed",
        f"{unit} did not start: {said}. {after}. The last lines of its journal:\n{shown}",
        release=release,
        unit=unit,
        journal=lines,
        marked_bad=blamed,
    )


def _untouched() -> str:
    return "Its instance was stopped; traffic goes where it went before"


def pass_gate(
    session: Session, release: str, seconds: float, public: str | None = None, path: str = "/"
) -> Report:
    """Waits at most seconds until the release is ready on its own socket; one that is not is stopped and marked bad.

    public: the name by which customers ask for path; then it has to answer that as well, or it is stopped.
    """
    kept.require_staged(session.host, release)
    unit = session.host.unit(release)
    warm.claim(session, release)
    if session.systemd.state(unit).active == "inactive":
        raise RefusedError(
            "not-running", f"Release {release} does not run on this host.", f"Type: slipway start {release}"
        )
    began = time.monotonic()
    with session.journal.step("gate", release) as outcome:
        try:
            own = session.host.release(release) / "http.sock"
            verdict = gate.wait_until_ready(session.systemd, release, own, seconds)
            if not verdict.passed:
                raise _gate_failed(session, release, verdict)
            if public and (reason := gate.complaint(own, public, path)):
                raise _not_for_customers(session, release, reason)
        except BaseException as failure:
            _put_away(session, release, failure)
            raise
        took = round((time.monotonic() - began) * 1000)
        outcome.update(took_ms=took)
    result = {"release": release, "probe": vars(verdict.probe), "took_ms": took}
    return Report(False, result, f"Release {release} is ready ({took} ms).")


def _aftermath(session: Session, release: str, reason: str, its_own: bool = True) -> tuple[str, bool]:
    """What became of a release that does not serve, and whether it is marked bad: only where that is its own fault."""
    live = kept.live(session.host)
    if live == release:
        return "It stays the live release and its unit is left to systemd", False
    if not its_own:
        return f"{_untouched()}; it is not marked bad, because this host's settings may be the reason", False
    if live is not None and not gate.of_traffic(session.host, live).ready(live):
        return (
            f"{_untouched()}; it is not marked bad, because the live release {live} is not ready either",
            False,
        )
    marks.put(session.host, release, marks.BAD, reason=reason)
    return f"{_untouched()}; it is marked bad", True


def _gate_failed(session: Session, release: str, verdict: gate.Verdict) -> StepError:
    unit = session.host.unit(release)
    # What a release that crashed at once said is older than the gate.
    started = session.journal.read(step="start").began("start", release)
    lines = session.systemd.journal(unit, min(started or verdict.began, verdict.began))
    after, blamed = _aftermath(session, release, verdict.reason)
    shown = "\n".join(lines)
    return StepError(
        "gate-failed",
        f"Release {release} did not become ready: {verdict.reason}. {after}.\n"
        f"Last answer: {verdict.probe.describe()}\nThe last lines of its journal:\n{shown}",
        release=release,
        unit=unit,
        reason=verdict.reason,
        probe=vars(verdict.probe),
        journal=lines,
        marked_bad=blamed,
    )


def _not_for_customers(session: Session, release: str, reason: str) -> StepError:
    """Not marked bad: by which names it is served stands in the host's settings, not in the release."""
    stays = kept.live(session.host) == release
    after = "It stays the live release and its unit is left to systemd" if stays else _untouched()
    return StepError(
        "public-refused",
        f"Release {release} is ready, but no customer would be served: {reason}. {after}; it is not marked bad. "
        f"Where the name is refused, /etc/{session.host.app}/{session.host.app}.env and the inventory differ. Type: "
        "ansible-playbook -i inventory/ENV site.yml",
        release=release,
        reason=reason,
    )


def _put_away(session: Session, release: str, cause: BaseException) -> None:
    """Stops an instance that did not pass; the live one is systemd's."""
    unit = session.host.unit(release)
    if kept.live(session.host) == release:
        return
    try:
        with session.journal.step("undo", release):
            session.systemd.disable(unit)
            session.systemd.stop(unit)
    except SlipwayError as failure:
        raise StepError(
            "undo-failed",
            f"{cause}\nPutting the new instance away failed too: {failure.message} "
            f"Traffic goes where it went before. Type: systemctl disable --now {unit}",
            unit=unit,
        ) from cause


def stop(session: Session, release: str, unless_live: bool, warm_until: float | None = None) -> Report:
    """Stops and disables an instance. unless_live: the live one is left alone without complaint.

    warm_until: seconds since 1970; only one whose warm time ends then.
    """
    unit = session.host.unit(release)
    result: dict[str, Any] = {"release": release, "live": kept.live(session.host) == release}
    if result["live"]:
        if unless_live:
            return Report(False, result, f"Release {release} is live; nothing was changed.")
        raise RefusedError(
            "release-live",
            f"Release {release} is live: stopping it would stop the traffic.",
            "Switch to another release first.",
        )
    if warm_until is not None and not warm.is_over(session.host, release, warm_until):
        return Report(False, result, f"Release {release} is not warm until then; nothing was changed.")
    state = session.systemd.state(unit)
    idle = state.active in ("inactive", "failed") and not state.enabled
    if idle and not session.journal.broken_off("stop"):
        warm.forget(session, release)
        return Report(False, result, f"Release {release} does not run; nothing was changed.")
    with session.journal.step("stop", release):
        session.systemd.disable(unit)
        session.systemd.stop(unit)
        warm.forget(session, release)
    return Report(True, result, f"Release {release} was stopped.")
