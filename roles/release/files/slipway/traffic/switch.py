"""`slipway switch` and `verify`: the traffic moves to a release in one rename, and is looked after."""

from __future__ import annotations

import time
from typing import Any

from slipway.clock import utc_now
from slipway.errors import RefusedError, StepError
from slipway.releases import kept, marks, signatures
from slipway.traffic import further, gate, timers
from slipway.turns.session import Report, Session

NONE = "none"


def switch(session: Session, release: str, expect: str | None) -> Report:
    """expect: the release that has to be live now (`none`: nothing), if the caller says; otherwise it is refused."""
    signatures.require_good(session.host, release)
    unit = session.host.unit(release)
    live = kept.live(session.host)
    broken_off = session.journal.broken_off("switch")
    previous = session.journal.read(step="switch").before(release) if live == release else live
    result: dict[str, Any] = {"release": release, "previous": previous, "switched_at": None, "took_us": 0}
    if (
        live == release
        and not broken_off
        and session.systemd.state(unit).enabled
        and is_whole(session, release)
    ):
        return Report(False, result, f"Release {release} is already live; nothing was changed.")
    if live != release and expect is not None and expect != (live or NONE):
        raise RefusedError(
            "live-differs",
            f"Release {live or NONE} is live on this host, not {expect} as the caller expects.",
            "Somebody switched meanwhile; `slipway status` and `slipway journal` show who.",
            expected=expect,
            live=live,
        )
    with session.journal.step("switch", release, previous=previous) as outcome:
        if live == release:
            _finish(session, release, previous if broken_off else None)
        else:
            _move(session, release, live, result)
        outcome.update(switched_at=result["switched_at"], took_us=result["took_us"])
    return Report(True, result, f"Release {release} is live. Before it: {previous or 'nothing'}.")


def _move(session: Session, release: str, live: str | None, result: dict[str, Any]) -> None:
    """On failure `current` is what it was, and what it points to starts at boot."""
    _prepare(session, release, live)
    try:
        began = time.monotonic()
        kept.point_to(session.host, release)
        result.update(switched_at=utc_now(), took_us=round((time.monotonic() - began) * 1e6))
        answer = gate.of_traffic(session.host, release)
        if not answer.ready(release):
            raise _failed(
                release, live, f"after the rename {session.host.current} did not answer for it", answer
            )
        _follow(session, release)
    except BaseException as failure:
        _take_back(session, release, live, failure)
        raise


def _prepare(session: Session, release: str, live: str | None) -> None:
    own = gate.of(session.host, release)
    if not own.ready(release):
        raise _failed(release, live, "its own socket does not answer for it", own)
    # Enabled before the rename: whatever `current` says after a power cut, that release starts.
    session.systemd.enable(session.host.unit(release))


def _finish(session: Session, release: str, previous: str | None) -> None:
    """Does what a killed run had left to do. previous: what goes on serving when the release cannot do it."""
    _prepare(session, release, release)
    try:
        _follow(session, release)
    except further.ProcessError as failure:
        if previous and gate.of(session.host, previous).ready(previous):
            session.systemd.enable(session.host.unit(previous))
            _take_back(session, release, previous, failure)
        raise


def _take_back(session: Session, release: str, live: str | None, failure: BaseException) -> None:
    """Gives everything back to live. Raises what is to be said beside the failure, if anything is."""
    left = move_back(session, release, live)
    if left:
        raise _not_taken_back(failure, live, left) from failure
    if isinstance(failure, further.ProcessError):
        marks.put(session.host, release, marks.BAD, reason=failure.details["reason"])
        raise _taken_back(failure, live) from failure


def _follow(session: Session, live: str | None) -> None:
    """What runs beside the server is the live release's: after the traffic, which no job's end holds up."""
    further.hand_over(session, live)
    timers.follow(session, live)


def is_whole(session: Session, live: str | None) -> bool:
    """Whether what runs beside the server is the live release's, and all of it."""
    return further.is_handed_over(session, live) and timers.is_followed(session, live)


def move_back(session: Session, release: str, live: str | None) -> list[str]:
    """Gives the traffic back to live with what runs beside it, and takes release out of the boot.

    Returns what failed after the traffic was back, in sentences.
    """
    if kept.live(session.host) != live:
        kept.point_to(session.host, live)
    session.systemd.disable(session.host.unit(release))
    return [*further.put_right(session, live), *timers.put_right(session, live)]


def _taken_back(failure: further.ProcessError, live: str | None) -> StepError:
    where = (
        f"the traffic, the processes and the timers are those of {live} again" if live else "nothing is live"
    )
    first, _, rest = failure.message.partition("\n")
    return StepError(
        failure.code, f"{first} It was taken back and is marked bad; {where}.\n{rest}", **failure.details
    )


def _not_taken_back(failure: BaseException, live: str | None, left: list[str]) -> StepError:
    return StepError(
        "undo-failed",
        f"{failure}\nTraffic goes where it went before ({live or 'nowhere'}), but what runs beside it is not as it "
        f"should be: {' '.join(left)}\nType: slipway recover",
        live=live,
        failures=left,
    )


def _failed(release: str, live: str | None, reason: str, answer: gate.Probe) -> StepError:
    if live == release:
        where = "It was live before this and still is."
    else:
        where = f"Traffic goes where it went before: {live or 'nowhere'}. Its instance was left running."
    return StepError(
        "switch-failed",
        f"Release {release} did not get the traffic: {reason}. {where} Last answer: {answer.describe()}",
        release=release,
        live=live,
        reason=reason,
        probe=vars(answer),
    )


def verify(session: Session, release: str, count: int, public: str | None = None, path: str = "/") -> Report:
    """Asks count times where the traffic goes; every answer has to be ready and from the release.

    public: the name by which customers ask for path; then that is asked, too.
    """
    kept.require_staged(session.host, release)
    with session.journal.step("verify", release) as outcome:
        reason, last = _complaint(session, release, count)
        if not reason and public:
            reason = gate.complaint(session.host.current / "http.sock", public, path)
        if reason:
            raise StepError(
                "verify-failed",
                f"Release {release} does not serve as it should: {reason}. Nothing was changed by looking. "
                f"Last answer: {last.describe()}",
                release=release,
                live=kept.live(session.host),
                reason=reason,
                probe=vars(last),
            )
        outcome.update(answers=count)
    return Report(False, {"release": release, "answers": count}, f"Release {release} answered {count} times.")


def _complaint(session: Session, release: str, count: int) -> tuple[str, gate.Probe]:
    """What is wrong, empty when nothing is, and the last answer."""
    last = gate.Probe(error="not asked")
    if (live := kept.live(session.host)) != release:
        return f"{live or 'nothing'} is live", last
    for number in range(1, count + 1):
        last = gate.of_traffic(session.host, release)
        if not last.ready(release):
            return f"answer {number} of {count} was not ready or not from it", last
    names = further.wanted(session, release)
    if broken := next(further.complaints(session, names), None):
        return broken[1], last
    state = session.systemd.state(session.host.unit(release))
    if not state.running:
        return f"its unit is {state.active} ({state.sub})", last
    return ("" if state.enabled else "its unit does not start at boot"), last
