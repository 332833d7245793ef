"""`slipway bake`: watches the release that got the traffic; changes nothing, says whether it may keep it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from slipway.errors import RefusedError, StepError
from slipway.releases import kept
from slipway.traffic import further, gate
from slipway.traffic.access_log import AccessLog, Counts, count
from slipway.traffic.customers import Customers
from slipway.turns.session import Report, Session

# Fewer answers say nothing about a percentage.
LEAST_REQUESTS = 20
# One probe that fails may be a moment of the database.
NOT_READY_IN_A_ROW = 3
INTERVAL_SECONDS = 1.0


@dataclass
class Watch:
    """What was seen so far. restarts: since the watch began."""

    customers: Customers
    counts: Counts = field(default_factory=Counts)
    restarts: int = 0
    probes: int = 0
    not_ready: int = 0
    in_a_row: int = 0
    last: gate.Probe = field(default_factory=gate.Probe)
    log_found: bool = False

    def numbers(self) -> dict[str, Any]:
        return {
            "requests": self.counts.requests,
            "errors": self.counts.errors,
            "error_percent": round(self.counts.percent, 2),
            "misdirected": self.customers.misdirected,
            "refused": self.customers.refused,
            "p50_ms": self.counts.quantile_ms(0.5),
            "p95_ms": self.counts.quantile_ms(0.95),
            "p99_ms": self.counts.quantile_ms(0.99),
            "restarts": self.restarts,
            "probes": self.probes,
            "not_ready": self.not_ready,
            "log_found": self.log_found,
        }


def bake(
    session: Session, release: str, seconds: float, most_percent: float, public: str | None = None
) -> Report:
    """seconds: how long to watch. most_percent: of answers with a 5xx, judged from LEAST_REQUESTS answers on.

    public: the name by which customers come; then what they are refused by it counts as well.
    """
    kept.require_staged(session.host, release)
    live = kept.live(session.host)
    if live != release:
        advice = f"Type: slipway switch {release}"
        raise RefusedError("not-live", f"Release {release} is not live here; {live or 'nothing'} is.", advice)
    log = AccessLog(session.host.access_log)
    watch = Watch(Customers(release, public, log.earlier()))
    with session.journal.step("bake", release, seconds=seconds, max_errors=most_percent) as outcome:
        began = time.monotonic()
        try:
            reason = _watch(session, release, watch, log, seconds, most_percent)
        finally:
            log.close()
            outcome.update(watch.numbers(), took_s=round(time.monotonic() - began, 1))
        if reason:
            raise _failed(session, release, reason, watch)
    said = f"{watch.counts.requests} answers, {watch.counts.percent:.2f} % of them 5xx, {watch.restarts} restarts"
    return Report(False, {"release": release, "seconds": seconds, **watch.numbers()}, f"{release}: {said}.")


def _watch(
    session: Session, release: str, watch: Watch, log: AccessLog, seconds: float, most_percent: float
) -> str:
    """Why the release may not keep the traffic, as soon as that is sure; empty when the time is over."""
    unit = session.host.unit(release)
    restarts = session.systemd.state(unit).restarts
    processes = further.wanted(session, release)
    before = further.states(session, processes)
    deadline = time.monotonic() + seconds
    while True:
        remaining = deadline - time.monotonic()
        time.sleep(max(0.0, min(INTERVAL_SECONDS, remaining)))
        added = log.added()
        count(watch.counts, added, release)
        watch.customers.see(added)
        watch.log_found = log.found
        state = session.systemd.state(unit)
        watch.restarts = max(watch.restarts, state.restarts - restarts)
        _probe(session, release, watch)
        if state.broken or watch.restarts:
            return (
                f"{unit} ended (result {state.result}, status {state.exit_status}, {watch.restarts} restarts)"
            )
        if broken := next(further.complaints(session, processes, before), None):
            return broken[1]
        if watch.in_a_row >= NOT_READY_IN_A_ROW:
            return f"it was not ready {watch.in_a_row} times in a row"
        if watch.counts.requests >= LEAST_REQUESTS and watch.counts.are_more_than(most_percent):
            return (
                f"{watch.counts.errors} of {watch.counts.requests} answers were 5xx "
                f"({watch.counts.percent:.1f} %, {most_percent:g} % are accepted)"
            )
        if reason := watch.customers.complaint(watch.counts.requests, most_percent, LEAST_REQUESTS):
            return reason
        if (live := kept.live(session.host)) != release:
            return f"{live or 'nothing'} is live now; somebody switched"
        if remaining <= INTERVAL_SECONDS:
            return ""


def _probe(session: Session, release: str, watch: Watch) -> None:
    watch.last = gate.of(session.host, release, INTERVAL_SECONDS)
    watch.probes += 1
    ready = watch.last.ready(release)
    watch.not_ready += not ready
    watch.in_a_row = 0 if ready else watch.in_a_row + 1


def _failed(session: Session, release: str, reason: str, watch: Watch) -> StepError:
    unit = session.host.unit(release)
    lines = session.systemd.journal(unit)
    shown = "\n".join(lines)
    return StepError(
        "bake-failed",
        f"Release {release} does not keep what its gate promised: {reason}. It still has the traffic; "
        f"give it back with: slipway switch ID. Last answer: {watch.last.describe()}\n"
        f"The last lines of its journal:\n{shown}",
        release=release,
        reason=reason,
        **watch.numbers(),
        probe=vars(watch.last),
        journal=lines,
    )
