"""`slipway backfill`: a backfill of the live release, begun in its own unit, which needs nobody who watches.

What it has done is in the database, in the transaction of each batch: a run that dies anywhere is gone on with by the
next. One run at a time on a host; one of each backfill anywhere, by the database. Nothing here holds the host's lock:
a backfill must be paused while a migration waits for it.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from slipway.database.migration_run import LONGEST
from slipway.errors import RefusedError, StepError
from slipway.releases import kept
from slipway.turns.session import Report, Session

ASK_SECONDS = 60.0
# For whoever asks or begins just now.
WAIT_SECONDS = 30.0
# What a wrong name, a database out of reach or a pause needs to show: then a run ends at once.
BEGIN_SECONDS = 5.0
LOOK_SECONDS = 0.25


def begin(session: Session, name: str, resume: bool) -> Report:
    """Starts the run and sees for some seconds whether it ends at once. resume: a pause is taken back first."""
    release = _live(session)
    for other in _running(session):
        told = _told(session, other)
        raise RefusedError(
            "backfill-running",
            f"The backfill {told} runs already on this host, in release {other}.",
            f"Look: slipway backfill status. To stop it after its batch: slipway backfill pause {told}",
            release=other,
        )
    unit, do = session.host.backfill_unit(release), "resume" if resume else "run"
    with session.journal.step("backfill", release, do=do, backfill=name) as outcome:
        _tell(session.host.backfill_settings(release), f"{do} {name}")
        started = session.systemd.start(unit)
        deadline = time.monotonic() + BEGIN_SECONDS
        while started.ok and not session.systemd.state(unit).idle and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        found = _progress(session, release) if started.ok else {"running": False}
        outcome.update(running=found["running"])
        if not found["running"] and "row" not in found:
            raise _failed(f"The backfill {name}", unit, str(found.get("sentence") or started.tail(3)))
    said = "runs" if found["running"] else "has ended"
    return Report(True, {"release": release, "name": name, **found}, f"The backfill {name} {said}.")


def pause(session: Session, name: str) -> Report:
    """Has it stop after its present batch, wherever it runs, and not begin again until it is resumed."""
    # The release that runs it knows it; a newer one may not.
    release = next((each for each in _running(session) if _told(session, each) == name), None) or _live(
        session
    )
    with session.journal.step("backfill", release, do="pause", backfill=name):
        row = _asked(session, release, f"pause {name}", f"The pause of the backfill {name}")
    return Report(True, {"release": release, "name": name, "row": row}, f"The backfill {name} is paused.")


def status(session: Session) -> Report:
    """What the live release says of its backfills and of those that were begun before."""
    release = _live(session)
    said = _asked(session, release, "status", "The status of the backfills")
    rows = [f"{row['name']}: {row['state']}, {row.get('rows_done', 0)} rows" for row in said["backfills"]]
    return Report(
        False, {"release": release, **said}, "\n".join(rows) or "The live release declares no backfill."
    )


def progress(session: Session) -> Report:
    """The newest run on this host: which, whether it goes on, its last line, or how it ended; nobody is asked."""
    told = sorted(session.host.runtime.glob("backfill-[0-9]*.env"), key=lambda path: path.stat().st_mtime)
    if not told:
        return Report(False, {"running": False}, "No backfill was begun on this host since it was started.")
    release = told[-1].stem.removeprefix("backfill-")
    found = {"release": release, "name": _told(session, release), **_progress(session, release)}
    return Report(
        False, found, f"The backfill {found['name']} {'runs' if found['running'] else 'has ended'}."
    )


def _progress(session: Session, release: str) -> dict[str, Any]:
    """running; progress: its newest line about that; row: what it printed in the end; sentence: why it failed."""
    unit = session.host.backfill_unit(release)
    running = not session.systemd.state(unit).idle
    found: dict[str, Any] = {"running": running}
    for line in session.systemd.output(unit, session.host.backfill_settings(release).stat().st_mtime):
        said = _object(line)
        if said is None:
            found["sentence"] = line.strip()[:LONGEST] or found.get("sentence", "")
        elif said.get("event") == "backfill_progress":
            found["progress"] = said
        elif "event" not in said:
            found["row"] = said
    return found


def _asked(session: Session, release: str, words: str, what: str) -> dict[str, Any]:
    """The answer of the release's own program, in its sandbox. Raises StepError with its sentence."""
    unit = session.host.backfill_unit(release, "-ask")
    _tell(session.host.backfill_settings(release, "-ask"), words)
    began = time.time()
    started = session.systemd.start(unit, ASK_SECONDS)
    lines = session.systemd.output(unit, began)
    answers = [said for said in map(_object, lines) if said is not None and "event" not in said]
    if started.ok and answers:
        return answers[-1]
    sentences = [line.strip()[:LONGEST] for line in lines if line.strip() and _object(line) is None]
    raise _failed(what, unit, sentences[-1] if sentences else started.tail(3))


def _failed(what: str, unit: str, sentence: str) -> StepError:
    return StepError(
        "backfill-failed",
        f"{what} failed ({unit}). {sentence or 'It said nothing.'} Every batch that was done stays done; "
        f"traffic is untouched. `journalctl -u {unit}` has all that it said.",
        unit=unit,
        sentence=sentence,
    )


def _live(session: Session) -> str:
    live = kept.live(session.host)
    if live is None:
        raise RefusedError(
            "not-live", "No release is live here, so none declares a backfill.", "Type: slipway list"
        )
    return live


def _running(session: Session) -> list[str]:
    """The releases whose backfill goes on."""
    states = session.systemd.backfills(found.id for found in kept.installed(session.host))
    return sorted(release for release, state in states.items() if not state.idle)


def _told(session: Session, release: str) -> str:
    """The name of the backfill that a release's unit was started for."""
    try:
        return session.host.backfill_settings(release).read_text(encoding="utf-8").split()[-1]
    except (OSError, IndexError):
        return "unknown"


def _tell(path: Path, words: str) -> None:
    path.write_text(f"SLIPWAY_ARGUMENTS={words}\n", encoding="utf-8")


def _object(line: str) -> dict[str, Any] | None:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None
