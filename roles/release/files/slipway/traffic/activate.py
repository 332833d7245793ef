"""`slipway activate`: start, gate, switch, verify and settle in one, for a host that is on its own."""

from __future__ import annotations

from slipway.errors import SlipwayError, StepError
from slipway.releases import kept, signatures
from slipway.traffic import gate, instance, settle, switch
from slipway.turns.session import Report, Session

ANSWERS = 3


def activate(session: Session, release: str, seconds: float, warm_seconds: float) -> Report:
    """seconds: how long it may take to become ready. warm_seconds: how long the release before stays warm."""
    manifest = signatures.require_good(session.host, release)
    live = kept.live(session.host)
    previous = session.journal.read(step="switch").before(release) if live == release else live
    result = {"release": release, "previous": previous, "schema_head": manifest["schema_head"]}
    if live == release and not session.journal.broken_off("activate") and _serves(session, release):
        return Report(
            False, {**result, "previous": None}, f"Release {release} is already live; nothing was changed."
        )
    with session.journal.step("activate", release, previous=previous):
        _bring_up(session, release, live, seconds)
        settle.settle(session, release, warm_seconds)
    return Report(True, result, f"Release {release} is live. Before it: {previous or 'nothing'}.")


def _serves(session: Session, release: str) -> bool:
    ready = gate.of(session.host, release).ready(release)
    return ready and settle.is_settled(session, release)


def _bring_up(session: Session, release: str, live: str | None, seconds: float) -> None:
    """On failure the pointer is what it was and the new instance is stopped; the live one is systemd's."""
    try:
        instance.start(session, release)
        instance.pass_gate(session, release, seconds)
        switch.switch(session, release, live or switch.NONE)
        switch.verify(session, release, ANSWERS)
    except BaseException as failure:
        if live != release:
            _undo(session, release, live, failure)
        raise


def _undo(session: Session, release: str, live: str | None, cause: BaseException) -> None:
    try:
        with session.journal.step("undo", release):
            left = switch.move_back(session, release, live)
            session.systemd.stop(session.host.unit(release))
            if left:
                raise StepError("processes", " ".join(left))
    except SlipwayError as failure:
        unit = session.host.unit(release)
        raise StepError(
            "undo-failed",
            f"{cause}\nPutting the new instance away failed too: {failure.message} "
            f"Traffic goes where it went before. Type: systemctl disable --now {unit}",
            unit=unit,
        ) from cause
