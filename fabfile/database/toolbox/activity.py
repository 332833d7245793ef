"""`fab db-activity`: who does what now, who waits for whom, the root of every queue first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from fabfile.database import texts, units
from fabfile.database.checks import planned
from fabfile.database.findings import Table
from fabfile.database.toolbox import reading

# A prepared transaction has no session; it blocks under this number.
PREPARED = 0


@dataclass(frozen=True)
class Session:
    """One session. Seconds are since its transaction, its statement and its state began; None when it has none."""

    pid: int
    backend_start: datetime
    role: str
    database: str
    application: str
    client: str
    state: str
    backend_type: str
    wait: str
    transaction_seconds: float | None
    query_seconds: float | None
    state_seconds: float | None
    blocked_by: tuple[int, ...] | list[int]
    query: str

    @property
    def is_idle(self) -> bool:
        return self.state == "idle"

    @property
    def seconds(self) -> float | None:
        """What counts of a session: how long its statement runs, or how long it does nothing in a transaction."""
        return self.query_seconds if self.state == "active" else self.state_seconds


@dataclass(frozen=True)
class Placed:
    """A session in the tree. depth: 0 for a root, and for who blocks nobody and is not blocked."""

    session: Session
    depth: int
    blocks: int


def read(connection: psycopg.Connection[Any]) -> list[Session]:
    """Every session of the server but this one."""
    with reading.sentences("What the sessions do"):
        return reading.rows(connection, Session, "activity")


def forest(sessions: Sequence[Session]) -> list[Placed]:
    """Roots of queues with who waits below, the longest queue first; then the rest, the longest at it first."""
    known = {session.pid: session for session in sessions}
    parents = {pid: _parent(session, known) for pid, session in known.items()}
    below: dict[int, list[Session]] = {}
    for session in sessions:
        parent = parents[session.pid]
        if parent is not None:
            below.setdefault(parent, []).append(session)
    placed: list[Placed] = []
    seen: set[int] = set()

    def grow(session: Session, depth: int) -> int:
        # Where sessions wait for each other in a ring, it is cut where it was entered.
        if session.pid in seen:
            return 0
        seen.add(session.pid)
        at = len(placed)
        placed.append(Placed(session, depth, 0))
        blocks = sum(
            1 + grow(child, depth + 1) for child in below.get(session.pid, []) if child.pid not in seen
        )
        placed[at] = Placed(session, depth, blocks)
        return blocks

    trees: list[list[Placed]] = []
    roots = [session for session in sessions if parents[session.pid] is None]
    for session in [*roots, *sessions]:
        placed = []
        grow(session, 0)
        trees += [placed] if placed else []
    trees.sort(key=lambda tree: (-tree[0].blocks, tree[0].session.is_idle, -(tree[0].session.seconds or 0)))
    return [each for tree in trees for each in tree]


def _parent(session: Session, known: dict[int, Session]) -> int | None:
    """Of several blockers the one that waits itself: who is behind it is behind all that it waits for."""
    blockers = [pid for pid in session.blocked_by if pid in known and pid != session.pid]
    waiting = [pid for pid in blockers if known[pid].blocked_by]
    return next(iter(waiting or blockers), None)


def table(sessions: Sequence[Session], with_idle: bool = False) -> Table:
    """The tree as a table; idle sessions that block nobody are left out unless wanted."""
    rows = []
    for each in forest(sessions):
        session = each.session
        if session.is_idle and not each.blocks and not with_idle:
            continue
        state = f"{session.state or session.backend_type}{f', blocks {each.blocks}' if each.blocks else ''}"
        rows.append(
            (
                f"{'  ' * each.depth}{'> ' if each.depth else ''}{session.pid}",
                units.duration(session.seconds),
                units.duration(session.transaction_seconds),
                state,
                texts.plain(session.wait),
                texts.plain(session.role),
                texts.plain(session.application, 40),
                texts.query(session.query, 200),
            )
        )
    columns = ("pid", "for", "transaction", "state", "waits for", "role", "application", "query")
    return Table("Sessions", columns, tuple(rows))


def sentences(sessions: Sequence[Session], environment: str) -> list[str]:
    """What there is to say: how many, who waits, who is at the root, and the command that ends it, indented."""
    active = sum(session.state == "active" for session in sessions)
    within = sum(session.state.startswith("idle in transaction") for session in sessions)
    idle = sum(session.is_idle for session in sessions)
    said = [f"{len(sessions)} sessions: {active} active, {within} idle in transaction, {idle} idle."]
    waiting = [session for session in sessions if session.blocked_by]
    if not waiting:
        return [*said, "Nobody waits for a lock."]
    longest = max(session.query_seconds or 0.0 for session in waiting)
    wait = "session waits" if len(waiting) == 1 else "sessions wait"
    said.append(f"{len(waiting)} {wait} for a lock, for at most {units.duration(longest)}.")
    for each in forest(sessions):
        if each.depth == 0 and each.blocks:
            session = each.session
            work = planned.what(session.role, session.application, session.query)
            who = (
                f"pid {session.pid} ({texts.plain(session.role)}, {texts.plain(session.application, 40)}) is "
                f"{session.state}, and {each.blocks} behind it."
            )
            if work:
                said.append(f"{who} It is {work}, which was begun on purpose and ends by itself.")
                continue
            said.append(f"{who} To end it:")
            # Where no statement runs there is nothing to cancel.
            more = "" if session.state == "active" else " --terminate"
            said.append(f"  fab db-kill --env {environment} {session.pid}{more}")
    if any(PREPARED in session.blocked_by for session in waiting):
        said.append(
            "A prepared transaction holds a lock and has no session to end: docs/runbooks/db-prepared-transactions.md"
        )
    return said


def as_dicts(sessions: Sequence[Session]) -> list[dict[str, object]]:
    """The sessions for --json, in the tree's order, with safe texts; durations in seconds."""
    return [
        {
            "pid": each.session.pid,
            "backend_start": each.session.backend_start.isoformat(),
            "depth": each.depth,
            "blocks": each.blocks,
            "blocked_by": list(each.session.blocked_by),
            "role": texts.plain(each.session.role),
            "database": texts.plain(each.session.database),
            "application": texts.plain(each.session.application),
            "client": each.session.client,
            "state": each.session.state,
            "backend_type": each.session.backend_type,
            "wait": texts.plain(each.session.wait),
            "transaction_seconds": each.session.transaction_seconds,
            "query_seconds": each.session.query_seconds,
            "state_seconds": each.session.state_seconds,
            "query": texts.query(each.session.query),
        }
        for each in forest(sessions)
    ]
