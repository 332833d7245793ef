"""The live release's further processes, such as a queue's workers: handed over after the traffic, the old ones first.

No two releases' processes run at once on a host: those of the release before get SIGTERM and the time to finish what
they have at hand before the live one's start, and a unit ends at once that is not the live release's (its file).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from slipway.errors import SlipwayError, StepError
from slipway.host import RELEASE_ID, Host
from slipway.releases import kept
from slipway.releases.declaration_rules import UNIT_NAME
from slipway.systemd import UnitState
from slipway.turns.session import Session

# One that ends in this time did not start. Longer than systemd's pause before it starts one again.
PROOF_SECONDS = 2.0
PAUSE_SECONDS = 0.1


class ProcessError(StepError):
    """A process of the release does not stay up: the release's own fault."""


def unit_of(host: Host, process: str) -> str:
    """process: release:name, as the unit's instance is called."""
    return f"{host.app}-process@{process}.service"


def wanted(session: Session, release: str | None) -> list[str]:
    """The processes that the release declares, each as release:name."""
    said = kept.declaration(session.host, release)
    return [f"{release}:{name}" for name in sorted(said.processes or {})]


def states(session: Session, named: Iterable[str] = ()) -> dict[str, UnitState]:
    """Of the processes named, and of all that slipway has started, by release:name."""
    every = unit_of(session.host, "*")
    head, _, tail = every.partition("*")
    # Enabled before it starts, disabled when it has ended: what starts at boot is all that may run.
    linked = session.host.boot_link(every).parent.glob(every)
    names = {path.name.removeprefix(head).removesuffix(tail) for path in linked}
    units = {unit_of(session.host, name): name for name in {*filter(_is_process, names), *named}}
    return {units[unit]: state for unit, state in session.systemd.states(sorted(units)).items()}


def _is_process(name: str) -> bool:
    release, _, process = name.partition(":")
    return bool(RELEASE_ID.fullmatch(release) and UNIT_NAME.fullmatch(process))


def is_handed_over(session: Session, live: str | None) -> bool:
    return not any(_difference(session, live))


def _difference(session: Session, live: str | None) -> tuple[list[str], list[str]]:
    """(other releases' processes that run or would start at boot, the live release's that do not)."""
    names = wanted(session, live)
    found = states(session, names)
    ending = [
        name for name, state in found.items() if name not in names and (state.enabled or not state.idle)
    ]
    starting = [name for name in names if not (found[name].running and found[name].enabled)]
    return sorted(ending), starting


def hand_over(session: Session, live: str | None) -> None:
    """Ends the processes of every release but live, then starts live's. Raises ProcessError when one does not last."""
    ending, starting = _difference(session, live)
    if not (ending or starting):
        return
    with session.journal.step("hand-over", live, ending=ending, starting=starting):
        _end(session, ending)
        _begin(session, starting)


def begin_anew(session: Session, live: str) -> None:
    """The same for the live release's own, as after a change of its settings."""
    names = wanted(session, live)
    session.systemd.stop(*(unit_of(session.host, name) for name in names))
    _begin(session, names)


def _end(session: Session, names: list[str]) -> None:
    units = [unit_of(session.host, name) for name in names]
    session.systemd.stop(*units)
    for unit in units:
        session.systemd.disable(unit)


def _begin(session: Session, names: list[str]) -> None:
    began = time.time()
    for name in names:
        unit = unit_of(session.host, name)
        session.systemd.enable(unit)
        started = session.systemd.start(unit)
        if not started.ok:
            raise _failed(session, name, started.tail(3) or "it was not started in time", began)
    deadline = time.monotonic() + PROOF_SECONDS
    while names and time.monotonic() < deadline:
        if reason := next(complaints(session, names), None):
            raise _failed(session, *reason, began)
        time.sleep(PAUSE_SECONDS)


def complaints(
    session: Session, names: Iterable[str], before: dict[str, UnitState] | None = None
) -> Iterator[tuple[str, str]]:
    """(process, what is wrong with it) of those that do not run, or were started again since before."""
    names = list(names)
    found = states(session, names)
    for name in names:
        state, earlier = found[name], before[name].restarts if before else 0
        if state.broken or state.restarts > earlier:
            ended = f"result {state.result}, status {state.exit_status}, {state.restarts - earlier} restarts"
            yield name, f"{unit_of(session.host, name)} ended ({ended})"


def _failed(session: Session, name: str, reason: str, began: float) -> ProcessError:
    release, _, process = name.partition(":")
    unit = unit_of(session.host, name)
    lines = session.systemd.journal(unit, began)
    shown = "\n".join(lines)
    return ProcessError(
        "process-failed",
        f"The process {process} of release {release} does not stay up: {reason}.\n"
        f"The last lines of its journal:\n{shown}",
        release=release,
        unit=unit,
        reason=reason,
        journal=lines,
    )


def describe(session: Session, live: str | None) -> list[dict[str, Any]]:
    """{release, name, unit} of those that the live release declares, and of what else slipway has started."""
    found = states(session, wanted(session, live))
    return [
        {"release": name.partition(":")[0], "name": name.partition(":")[2], "unit": asdict(state)}
        for name, state in sorted(found.items())
    ]


def put_right(session: Session, live: str | None) -> list[str]:
    """hand_over for a release that serves in any case: what failed, in sentences."""
    try:
        hand_over(session, live)
    except SlipwayError as failure:
        return [failure.message.partition("\n")[0]]
    return []
