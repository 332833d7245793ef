"""The move of the service from one cluster to the other, either way: writers wait a second, nothing is lost."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from database_backup import files
from database_backup.errors import FailedError, RefusedError
from database_backup.server import Session
from database_backup.upgrade import obstacles, planning, stream
from database_backup.upgrade.cluster import Cluster, both
from database_backup.upgrade.journal import BEGIN, END, FAILED, MOVE, Journal
from database_backup.upgrade.preparing import OPEN, refresh
from database_backup.upgrade.settings import Settings

# How far the follower may be behind when writers are stopped, how long it is waited for before that, and after.
BEHIND, CATCH_UP_SECONDS, DRAIN_SECONDS = 1 << 20, 60.0, 10.0
START_SECONDS = 120.0
# What is in a transaction may end it for so long.
GRACE_SECONDS = 0.4
PAUSE = 0.01
ENDED = """
SELECT to_json(count(*)) FROM (
  SELECT CASE WHEN state = 'idle' OR :'now' = 'yes' THEN pg_terminate_backend(pid) END FROM pg_stat_activity
  WHERE datname = :'name' AND backend_type = 'client backend' AND pid <> pg_backend_pid()
    AND application_name NOT LIKE 'slipway upgrade%') AS found;
"""
# Has all that was committed on the disk, and says how far that is.
WRITTEN = "SELECT to_json(pg_logical_emit_message(true, 'slipway', 'moved')::text);"
FLUSHED = "SELECT to_json(pg_current_wal_flush_lsn()::text);"
SEQUENCES = """
SELECT coalesce(json_agg(json_build_object(
  's', schemaname, 'n', sequencename, 'v', last_value, 'b', start_value)), '[]')::text
FROM pg_sequences;
"""
SET_SEQUENCES = """
SELECT to_json(count(setval(format('%I.%I', s, n)::regclass, coalesce(v, b), v IS NOT NULL)))
FROM json_to_recordset(:'all') AS x(s text, n text, v bigint, b bigint);
"""


def move(settings: Settings, to: str) -> dict[str, Any]:
    """Moves the service to the version; goes on with a move that was killed. {"pause_seconds", "detail"}.

    Raises RefusedError before anything changed; FailedError with who serves.
    """
    journal = Journal(settings)
    begun = journal.unfinished
    clusters = both(settings)
    target = clusters[to]
    source = next(each for version, each in clusters.items() if version != to)
    if (begun and (begun["step"], begun.get("to")) != (MOVE, to)) or (not begun and not journal.prepared):
        raise RefusedError(f"{planning.plan(settings)['said']} Nothing was changed.")
    if not begun and journal.serving == to:
        raise RefusedError(f"{target} serves already. Nothing was changed.")
    if not begun:
        limit = _ready(settings, source, target)
        journal.write(MOVE, BEGIN, to=to, limit=limit)
    else:
        limit = begun["limit"]
    began = time.monotonic()
    try:
        paused = _pause(settings, journal, source, target)
    except FailedError as failure:
        if journal.done("drain"):
            raise FailedError(
                f"{failure}. Writers wait; all rows are on {target}. To go on, type the same again."
            ) from None
        _give_up(settings, journal, source, target, limit)
        raise FailedError(f"{failure}. {source} serves again, as before; {target} follows it.") from None
    answered = _serve(settings, journal, source, target, limit)
    pause = round(answered - paused, 3) if paused else None
    _turn(settings, journal, source, target)
    seconds = round(time.monotonic() - began, 1)
    journal.write(MOVE, END, to=to, pause_seconds=pause, seconds=seconds)
    said = (
        f"writers waited {pause} s"
        if pause
        else "the run before was cut off, so how long writers waited is not known"
    )
    back = (
        "--back goes back with all rows, --finish ends that"
        if to == settings.new.version
        else "--switch moves again"
    )
    return {"pause_seconds": pause, "seconds": seconds, "serves": to,
            "detail": f"{target} serves on port {settings.port}; {said}. {source} follows it: {back}."}  # fmt: skip


def _ready(settings: Settings, source: Cluster, target: Cluster) -> int:
    """Waits until the follower is close behind; the database's own limit of connections. Raises RefusedError."""
    for each in (source, target):
        if not each.runs:
            raise RefusedError(
                f"{each} does not run. Nothing was changed. Start it, and type the same again."
            )
    with source.session() as session:
        found = planning.look(settings, source)
        if found["old_transactions"]:
            raise RefusedError(
                f"{obstacles.listed(found['old_transactions'])}: a transaction that is open this long would be "
                "cut. Nothing was "
                "changed. Wait for its end, or end it: fab db-kill PID"
            )
        session.ask("CHECKPOINT;")
        until = time.monotonic() + CATCH_UP_SECONDS
        while not (slot := session.rows(stream.SLOT)) or not slot[0]["active"] or slot[0]["behind"] > BEHIND:
            if (slot and slot[0]["lost"]) or time.monotonic() > until:
                raise RefusedError(_not_following(source, target, slot))
            time.sleep(0.2)
    with target.session() as session:
        session.ask("CHECKPOINT;")
    return int(found["limit"])


def _not_following(source: Cluster, target: Cluster, slot: list[Any]) -> str:
    if not slot or slot[0]["lost"]:
        return (
            f"The WAL that {target} lacks is gone from {source}: it cannot follow any more. Nothing was changed. "
            "Begin anew: --cancel, then --prepare. docs/runbooks/upgrade-failed.md"
        )
    return (
        f"{target} is {slot[0]['behind']} bytes behind "
        f"{source}{'' if slot[0]['active'] else ', and does not read'}. Nothing was "
        f"changed. Why, says its log: {target._log}. docs/runbooks/upgrade-failed.md"
    )


def _pause(settings: Settings, journal: Journal, source: Cluster, target: Cluster) -> float:
    """Stops writers and has everything at the target. When that began; 0 when a run before did."""
    if journal.done("drain"):
        return 0
    name, again = settings.database, journal.done("fence")
    with source.session(name) as here, target.session(name) as there:
        # The slot is the last that a drain makes: where it is, a run before was killed after it.
        drained = bool(there.rows(stream.SLOT))
        if not drained and not stream.subscribed(there)["on"]:
            stream.pause(there, on=True)
        began = time.monotonic()
        with journal.step("fence", again=True):
            _close(here, name)
        with journal.step("drain"):
            here.ask(WRITTEN)
            (lsn,) = here.rows(FLUSHED)
            if not drained:
                asked = lambda: here.rows(stream.REACHED, lsn=lsn)[0]  # noqa: E731 -- a question
                stream.wait(f"{target} has not taken all rows", DRAIN_SECONDS, asked)
            there.rows(SET_SEQUENCES, all=here.ask(SEQUENCES)[0])
            if not drained:
                stream.pause(there, on=False)
                there.rows(stream.MAKE_SLOT)
    return 0 if again else began


def _close(session: Session, name: str) -> None:
    """Nobody but a superuser comes in any more, and whoever is there is sent away."""
    session.ask(OPEN, name=name, limit="0")
    began = time.monotonic()
    empty = 0
    # Who was on the way in when the limit changed is seen at the second look.
    while empty < 2:
        late = "yes" if time.monotonic() > began + GRACE_SECONDS else "no"
        (left,) = session.rows(ENDED, name=name, now=late)
        empty = 0 if left else empty + 1
        if time.monotonic() > began + DRAIN_SECONDS:
            raise FailedError(f"{left} sessions do not end")
        time.sleep(PAUSE)


def _give_up(settings: Settings, journal: Journal, source: Cluster, target: Cluster, limit: int) -> None:
    """Lets writers in again where they were."""
    with target.session(settings.database) as there:
        if there.rows(stream.SLOT):
            stream.drop_slots(there)
        stream.pause(there, on=True)
    with source.session() as here:
        here.ask(OPEN, name=settings.database, limit=str(limit))
    journal.write(MOVE, FAILED)


def _serve(settings: Settings, journal: Journal, source: Cluster, target: Cluster, limit: int) -> float:
    """The target on the service's port, the source off it. When the target answered."""
    with journal.step("open") as said:
        if said is not None:
            target.start()
            with target.session() as session:
                session.ask(OPEN, name=settings.database, limit=str(limit))
    with journal.step("ports") as said:
        if said is not None:
            # Both end at once: neither listens where the other is to begin.
            begun = [(each, each.begin_stopping()) for each in (source, target) if each.runs]
            for each, process in begun:
                each.ended(process, "stop")
            source.park(True)
            target.park(False)
            starting = target.begin_starting()
            # Whoever starts it looks twice a second whether it is up; clients come in as soon as it is.
            stream.wait(f"{target} does not answer", START_SECONDS, lambda: target.answers)
            answered = time.monotonic()
            target.ended(starting, "start")
            return answered
    return time.monotonic()


def _turn(settings: Settings, journal: Journal, source: Cluster, target: Cluster) -> None:
    """From here on the source follows; nothing of the former direction is left."""
    with journal.step("follow") as said:
        if said is not None:
            _rewrite(settings.follow, source.side.version, target.side.version, settings.cluster)
            source.start()
            target.start()
            with target.session(settings.database) as there:
                stream.unsubscribe(there)
                refresh(there)
            with source.session(settings.database) as here:
                stream.drop_slots(here)
                stream.subscribe(here, target, copy=False)


def _rewrite(paths: tuple[Path, ...], before: str, after: str, cluster: str) -> None:
    """Where programs read which cluster serves, they read it anew."""
    names = (
        (f"postgresql/{before}/{cluster}", f"postgresql/{after}/{cluster}"),
        (f"postgresql/{before}/bin", f"postgresql/{after}/bin"),
        (f'VERSION, CLUSTER, PORT = "{before}"', f'VERSION, CLUSTER, PORT = "{after}"'),
        (f"postgresql@{before}-{cluster}", f"postgresql@{after}-{cluster}"),
        (f'"version": "{before}"', f'"version": "{after}"'),
    )
    for path in paths:
        if not path.exists():
            continue
        text = path.read_text(encoding="utf-8")
        changed = text
        for old, new in names:
            changed = changed.replace(old, new)
        if changed != text:
            part = path.with_name(f".{path.name}.part")
            part.write_text(changed, encoding="utf-8")
            about = path.stat()
            part.chmod(about.st_mode & 0o7777)
            if os.geteuid() == 0:
                os.chown(part, about.st_uid, about.st_gid)
            files.sync(part)
            part.replace(path)
            files.sync(path.parent)
