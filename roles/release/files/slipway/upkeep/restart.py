"""`slipway restart`: the live release is started anew, as after a change of its settings, while other hosts answer.

The edge sends this host nothing meanwhile, and what it had sent is answered before the instance is stopped.
"""

from __future__ import annotations

import time
from typing import Any

from slipway.errors import RefusedError, StepError
from slipway.releases import kept
from slipway.traffic import drain, further, gate
from slipway.turns.session import Report, Session


def restart(
    session: Session, release: str, seconds: float, public: str | None = None, path: str = "/"
) -> Report:
    """seconds: how long it may take to become ready. public: the name by which customers ask for path.

    A host that was drained before stays so; one whose release does not become ready stays drained, too.
    """
    kept.require_staged(session.host, release)
    live = kept.live(session.host)
    if live != release:
        raise RefusedError("not-live", f"Release {release} is not live here; {live or 'nothing'} is.")
    stays = drain.read(session.host) is not None
    drain.drain(session, None)
    with session.journal.step("restart", release) as outcome:
        quiet = drain.wait_until_quiet(session, stays, f"release {release} was not stopped")
        began = time.monotonic()
        _start_anew(session, release, seconds, public, path)
        _begin_processes(session, release)
        took = round((time.monotonic() - began) * 1000)
        outcome.update(quiet_s=quiet, took_ms=took)
    if not stays:
        drain.undrain(session)
    result: dict[str, Any] = {"release": release, "quiet_s": quiet, "took_ms": took, "drained": stays}
    return Report(True, result, f"Release {release} was started anew in {took} ms.")


def _begin_processes(session: Session, release: str) -> None:
    try:
        further.begin_anew(session, release)
    except further.ProcessError as failure:
        first, _, rest = failure.message.partition("\n")
        raise StepError(
            "restart-failed",
            f"Release {release} was started anew and is ready. {first} This host stays drained, and the process is "
            f"left to systemd. When it runs: slipway undrain.\n{rest}",
            **failure.details,
        ) from failure


def _start_anew(session: Session, release: str, seconds: float, public: str | None, path: str) -> None:
    unit = session.host.unit(release)
    session.systemd.stop(unit)
    began = time.time()
    started = session.systemd.start(unit)
    own = session.host.release(release) / "http.sock"
    reason = started.tail(3) or "it was not started in time" if not started.ok else ""
    if not reason:
        verdict = gate.wait_until_ready(session.systemd, release, own, seconds)
        reason = verdict.reason or (gate.complaint(own, public, path) if public else "")
    if reason:
        lines = session.systemd.journal(unit, began)
        shown = "\n".join(lines)
        raise StepError(
            "restart-failed",
            f"Release {release} was stopped, and does not serve again: {reason}. This host stays drained, so that the "
            "edge asks the others; the unit is left to systemd. Its settings are in "
            f"/etc/{session.host.app}/{session.host.app}.env. When it is ready: slipway undrain. "
            f"The last lines of its journal:\n{shown}",
            release=release,
            reason=reason,
            journal=lines,
        )
