"""`slipway await`: nginx of an app host starts after its release answers, so that a host that boots refuses nobody.

The edge asks another app host while this one's port is closed; a POST that was sent to it is never sent twice.
"""

from __future__ import annotations

import time

from slipway.errors import StepError
from slipway.releases import kept
from slipway.traffic import gate
from slipway.turns.session import Report, Session

PAUSE_SECONDS = 0.1


def await_live(session: Session, seconds: float) -> Report:
    """Until the live release says that it is ready; at once where nothing is live. Changes nothing."""
    live = kept.live(session.host)
    if live is None:
        return Report(False, {"release": None}, "Nothing is live here.")
    began = time.monotonic()
    while not (answer := gate.of_traffic(session.host, live)).ready(live):
        if time.monotonic() - began > seconds:
            raise StepError(
                "not-ready",
                f"Release {live} was not ready within {seconds:g} s: {answer.describe()}. Type: slipway status",
            )
        time.sleep(PAUSE_SECONDS)
    took = round(time.monotonic() - began, 1)
    return Report(False, {"release": live, "seconds": took}, f"Release {live} is ready after {took} s.")
