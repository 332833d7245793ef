"""`slipway settle`: the live release has proved itself; the one before stays warm for a while, all others go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slipway.errors import RefusedError, SlipwayError, UnfinishedError
from slipway.releases import kept, marks
from slipway.systemd import UnitState
from slipway.traffic import further, timers, warm
from slipway.turns.session import Report, Session


@dataclass(frozen=True)
class Plan:
    """keep: the release to keep warm. stopping, disabling: releases whose units are put away."""

    keep: str | None
    stopping: list[str]
    disabling: list[str]


def settle(session: Session, release: str, seconds: float) -> Report:
    """seconds: how long the release before this one stays warm; 0 stops it now."""
    kept.require_staged(session.host, release)
    live = kept.live(session.host)
    if live != release:
        raise RefusedError(
            "not-live",
            f"Release {release} is not live here; {live or 'nothing'} is.",
            f"Type: slipway switch {release}",
        )
    plan = _plan(session, release, seconds, unit_states(session))
    if is_settled(session, release, seconds):
        return Report(
            False, _result(session, release, plan), f"Release {release} is settled; nothing was changed."
        )
    with session.journal.step("settle", release, warm=plan.keep, stopping=plan.stopping):
        if not session.systemd.state(session.host.unit(release)).enabled:
            session.systemd.enable(session.host.unit(release))
        marks.put(session.host, release, marks.VERIFIED)
        marks.take(session.host, release, marks.BAD)
        _keep_warm(session, plan.keep, seconds)
        failures = put_away(session, plan.disabling, plan.stopping)
        if failures := [*failures, *further.put_right(session, release), *timers.put_right(session, release)]:
            raise UnfinishedError(
                "settle-unfinished",
                f"Release {release} is live and serving, but what runs beside it is not as it should be: "
                f"{' '.join(failures)} Type: slipway settle {release}",
                release=release,
                failures=failures,
            )
    warm_one = f"{plan.keep} stays warm" if plan.keep else "nothing stays warm"
    return Report(True, _result(session, release, plan), f"Release {release} is settled; {warm_one}.")


def unit_states(session: Session) -> dict[str, UnitState]:
    return session.systemd.instances(found.id for found in kept.installed(session.host))


def _plan(session: Session, release: str, seconds: float, states: dict[str, UnitState]) -> Plan:
    before = session.journal.read(step="switch").before(release)
    keep = None
    if before and before != release and seconds > 0 and states.get(before) and states[before].running:
        # A bad one is never gone back to, so it need not run.
        keep = before if marks.read(session.host, before, marks.BAD) is None else None
    return Plan(keep, *leftovers(states, {release, keep}, release))


def leftovers(
    states: dict[str, UnitState], staying: set[str | None], live: str | None
) -> tuple[list[str], list[str]]:
    """(instances that do something and are to stay away, units but the live one's that would start at boot)."""
    stopping = [name for name, state in states.items() if not state.idle and name not in staying]
    disabling = [name for name, state in states.items() if state.enabled and name != live]
    return sorted(stopping), sorted(disabling)


def is_settled(session: Session, release: str, seconds: float = 1.0) -> bool:
    """Whether there is nothing to settle. seconds: 0 when no release may be warm."""
    states = unit_states(session)
    plan = _plan(session, release, seconds, states)
    own = states.get(release)
    return (
        own is not None
        and own.enabled
        and marks.read(session.host, release, marks.VERIFIED) is not None
        and marks.read(session.host, release, marks.BAD) is None
        and not plan.stopping
        and not plan.disabling
        and (warm.is_kept(session, plan.keep) if plan.keep else not warm.read(session.host))
        and further.is_handed_over(session, release)
        and timers.is_followed(session, release)
        and not session.journal.broken_off("settle")
    )


def _result(session: Session, release: str, plan: Plan) -> dict[str, Any]:
    until = warm.until(session.host, plan.keep) if plan.keep else None
    return {"release": release, "warm": plan.keep, "warm_until": until, "stopped": plan.stopping}


def _keep_warm(session: Session, release: str | None, seconds: float) -> None:
    if release is None:
        warm.forget(session)
    elif not warm.is_kept(session, release):
        warm.keep(session, release, seconds)


def put_away(session: Session, disabling: list[str], stopping: list[str]) -> list[str]:
    """Disables and stops; one that does not stop does not keep the others. Returns what failed, in sentences."""
    failures = []
    for act, names in ((session.systemd.disable, disabling), (session.systemd.stop, stopping)):
        for name in names:
            try:
                act(session.host.unit(name))
            except SlipwayError as failure:
                failures.append(failure.message)
    return failures
