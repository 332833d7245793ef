"""`slipway migrate`: the release's migrations, in their own unit, waited for, and how they ended in the journal.

Whoever waits may die, the unit goes on. The next migration, or --watch, waits for it then and journals how it ended.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from slipway.clock import utc_now
from slipway.database.migration_run import facts
from slipway.errors import RefusedError, StepError
from slipway.journal.reading import Reading
from slipway.processes import Outcome
from slipway.releases import kept, marks, signatures
from slipway.releases.declaration import Declaration
from slipway.traffic import gate
from slipway.turns import lease
from slipway.turns.session import Report, Session

LOOK_SECONDS = 0.5
UNKNOWN_END = "Nobody saw its end and its unit's journal does not have it; the database has what it applied"


@dataclass(frozen=True)
class Unseen:
    """A migration whose end nobody saw. began: UTC, ISO 8601. by: who had it done."""

    release: str
    began: str
    by: str

    @property
    def since(self) -> float:
        return datetime.fromisoformat(self.began.replace("Z", "+00:00")).timestamp()


def unseen(reading: Reading) -> Unseen | None:
    """The newest migration, when its record has no end: it may run still, or have ended meanwhile."""
    entry = reading.last("migrate")
    details = (entry or {}).get("details") or {}
    if entry is None or (entry["phase"] == "end" and details.get("seen", True)):
        return None
    return Unseen(
        str(entry.get("release")), details.get("began") or entry["time"], details.get("by") or entry["who"]
    )


def describe(session: Session, reading: Reading) -> dict[str, Any] | None:
    """The same for `slipway status`; running: whether its unit does anything."""
    found = unseen(reading)
    if found is None:
        return None
    running = not session.systemd.state(session.host.migration_unit(found.release)).idle
    return {"release": found.release, "began": found.began, "by": found.by, "running": running}


def migrate(
    session: Session, release: str, seconds: float, contract: bool = False, watch: bool = False
) -> Report:
    """Runs the release's migration unit and waits at most seconds for it.

    contract: also what releases before it could not live with; refused while one of them is kept here.
    watch: starts nothing; waits for a migration whose end nobody saw, whosever it is, and says how it ended.
    changed is what the unit's last lines say, {"from": revision, "to": revision}; without them it is true.
    """
    done = session.journal.read()
    left = unseen(done)
    if watch:
        ran = _watched(session, left, seconds) if left else _ended(done)
        return _report(release, ran, changed=left is not None and ran["from"] != ran["to"])
    manifest = signatures.require_good(session.host, release)
    if not Declaration.of(session.host.app, manifest.get("service")).has_migrations:
        return Report(
            False, {"release": release}, f"Release {release} has no migrations; nothing was changed."
        )
    if contract:
        _require_nobody_behind(session, release, manifest)
    earlier = _earlier(session, left, seconds) if left else None
    unit, head = session.host.migration_unit(release), manifest["schema_head"]
    details = {
        "schema_head": head,
        "contract": contract,
        **_under(session),
        "began": utc_now(),
        "seen": False,
    }
    with session.journal.step("migrate", release, **details) as outcome:
        if not contract and not left and _is_at(session, head):
            ran = {"from": head, "to": head}
            outcome.update(ran, seen=True, unit_result="not needed")
        else:
            ran = _run(session, release, seconds, contract, outcome)
    # What earlier ones could not do is done.
    session.systemd.forget_failed(session.host.migration_units)
    known = {"unit": unit, "schema_head": head, **({"earlier": earlier} if earlier else {})}
    return _report(release, {**ran, **known}, changed="to" not in ran or ran["from"] != ran["to"])


def _is_at(session: Session, head: str) -> bool:
    """Whether the live release has just found that revision in the database: nothing is to be applied then."""
    live = kept.live(session.host)
    answer = gate.of_traffic(session.host, live)
    return live is not None and answer.ready(live) and answer.schema == head


def _run(
    session: Session, release: str, seconds: float, contract: bool, outcome: dict[str, Any]
) -> dict[str, Any]:
    unit, began = session.host.migration_unit(release), time.time()
    told = session.host.migration_settings(release)
    told.write_text(f"SLIPWAY_ARGUMENTS={'--contract' if contract else ''}\n", encoding="utf-8")
    started = _start(session, unit, release, seconds)
    state = session.systemd.state(unit)
    ran = facts(session.systemd.output(unit, began))
    outcome.update(ran, seen=True, unit_result=state.result)
    if not started.ok or state.result != "success":
        how = f"result {state.result}, status {state.exit_status}"
        raise _failed(session, unit, release, how, {"sentence": started.tail(3), **ran})
    return ran


def _start(session: Session, unit: str, release: str, seconds: float) -> Outcome:
    """Returns when the unit has ended. Raises StepError when it has not: then it goes on."""
    goes_on = (
        f"`journalctl -fu {unit}` watches them, `slipway migrate {release} --watch` waits again, "
        f"`systemctl stop {unit}` ends them and rolls the open transaction back."
    )
    try:
        started = session.systemd.start(unit, seconds)
    except StepError as failure:
        if failure.code != "interrupted" or session.systemd.state(unit).idle:
            raise
        raise StepError(
            "interrupted",
            f"Interrupted while the migrations of {release} run, which go on; traffic is untouched. {goes_on}",
            unit=unit,
        ) from None
    if started.status is None:
        raise StepError(
            "migration-timeout",
            f"The migrations of {release} did not end within {seconds:g} s and are still running; "
            f"traffic is untouched. {goes_on}",
            unit=unit,
        )
    return started


def _earlier(session: Session, left: Unseen, seconds: float) -> dict[str, Any]:
    """How the one before ended, which is journaled now; a failure of its own is no reason not to migrate."""
    said: dict[str, Any] = {"release": left.release, "began": left.began, "by": left.by}
    try:
        return {**said, **_watched(session, left, seconds)}
    except StepError as failure:
        if failure.code != "migration-failed":
            raise
        return {**said, "error": failure.message.splitlines()[0]}


def _watched(session: Session, left: Unseen, seconds: float) -> dict[str, Any]:
    unit, deadline = session.host.migration_unit(left.release), time.monotonic() + seconds
    details = {"began": left.began, "by": left.by, "watched": True, "seen": False}
    with session.journal.step("migrate", left.release, **details) as outcome:
        while not (state := session.systemd.state(unit)).idle:
            if time.monotonic() >= deadline:
                raise StepError(
                    "migration-timeout",
                    f"The migrations of {left.release} that {left.by} began at {left.began} still run after "
                    f"{seconds:g} s; traffic is untouched. `journalctl -fu {unit}` watches them.",
                    unit=unit,
                )
            time.sleep(LOOK_SECONDS)
        ran = facts(session.systemd.output(unit, left.since))
        outcome.update(ran, seen=True, unit_result=state.result)
        if "to" not in ran:
            raise _failed(session, unit, left.release, "seen afterwards", {"sentence": UNKNOWN_END, **ran})
    return ran


def _ended(done: Reading) -> dict[str, Any]:
    """What the newest migration's record says, when whoever waited for it saw its end. Raises StepError as it did."""
    entry = done.last("migrate") or {}
    if entry.get("result") == "failed":
        raise StepError("migration-failed", str(entry.get("error")))
    return {
        name: entry.get("details", {}).get(name)
        for name in ("from", "to")
        if "to" in entry.get("details", {})
    }


def _under(session: Session) -> dict[str, Any]:
    """Who has it done, and for which change: the lease's holder when it is done under the lease."""
    held = lease.current(session.host)
    if held is None or session.journal.fence is None or held["fence"] != session.journal.fence:
        return {"by": session.journal.who}
    return {"by": held["holder"], **({"ticket": held["ticket"]} if held["ticket"] else {})}


def _report(release: str, ran: dict[str, Any], changed: bool) -> Report:
    said = f"migrated to {ran.get('to', ran.get('schema_head'))}" if changed else "nothing to migrate"
    if ran.get("held_back"):
        said += f"; held back: {', '.join(ran['held_back'])}"
    return Report(changed, {"release": release, **ran}, f"Release {release}: {said}.")


def _require_nobody_behind(session: Session, release: str, manifest: dict[str, Any]) -> None:
    """Raises RefusedError when a release that could still be gone back to comes before a contracting revision."""
    chain = [(each["id"], each["kind"]) for each in manifest.get("schema_revisions") or []]
    ids = [name for name, _ in chain]
    for found in kept.installed(session.host):
        head = (found.manifest or {}).get("schema_head")
        if found.id == release or head not in ids or marks.read(session.host, found.id, marks.BAD):
            continue
        lost = [name for name, kind in chain[ids.index(head) + 1 :] if kind != "expand"]
        if lost:
            raise RefusedError(
                "old-shape-needed",
                f"Release {found.id} is kept on this host and needs what {lost[0]} takes away.",
                "Deploy once more, so that the release to go back to can do without; then: slipway prune --keep 1",
                release=found.id,
                revision=lost[0],
            )


def _failed(session: Session, unit: str, release: str, how: str, ran: dict[str, Any]) -> StepError:
    lines = session.systemd.journal(unit)
    shown = "\n".join(lines)
    return StepError(
        "migration-failed",
        f"The migrations of {release} failed ({unit}: {how}). {ran.get('sentence', '')}\n"
        "What the failed revision did was rolled back (an unfinished index is removed by the next run), earlier ones "
        "stay; the live release keeps serving. "
        f"The last lines of its journal:\n{shown}",
        unit=unit,
        journal=lines,
        sentence=ran.get("sentence"),
    )
