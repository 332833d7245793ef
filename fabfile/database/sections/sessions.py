"""Who is connected, who waits for whom, who has been at it for too long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fabfile.database import texts, units
from fabfile.database.findings import Level, Table
from fabfile.database.judging import About, Check, Judged, measured, stated
from fabfile.database.sections.replication import Slot


@dataclass(frozen=True)
class Limits:
    maximum: int
    reserved: int
    used: int


@dataclass(frozen=True)
class Usage:
    role: str
    application: str
    state: str
    sessions: int


@dataclass(frozen=True)
class Session:
    """held: how many transactions ago its snapshot was taken. blocked_by: pids, 0 for a prepared transaction."""

    pid: int
    role: str
    application: str
    state: str
    backend_type: str
    transaction_seconds: float
    query_seconds: float
    state_seconds: float
    held: int
    blocked_by: list[int]
    wait_seconds: float
    query: str

    @property
    def who(self) -> str:
        """Such as "pid 4711 (shop, nightly report)"; what strangers chose is made safe."""
        names = [texts.plain(name, 40) for name in (self.role, self.application) if name]
        return f"pid {self.pid} ({', '.join(names) or self.backend_type})"

    @property
    def ending(self) -> str:
        """What to type against it: there is no statement to cancel where none runs."""
        return f"fab db-kill {self.pid}" + (" --terminate" if self.state.startswith("idle") else "")


@dataclass(frozen=True)
class Prepared:
    gid: str
    role: str
    database: str
    seconds: float
    held: int


def connections(about: About, limits: list[Limits], usage: list[Usage]) -> Judged:
    """Connections against what ordinary roles may have."""
    one = limits[0]
    room = one.maximum - one.reserved
    top = usage[0] if usage else None
    most = f", most of them {top.sessions} of {texts.plain(top.role, 40)} {top.state}".rstrip() if top else ""
    percent = 100 * one.used / max(1, room)
    yield measured(
        about,
        "connections",
        percent,
        f"{one.used} of {room} connections are taken, {percent:.0f} %{most}",
        "fab db-activity",
    )
    rows = tuple(
        (texts.plain(row.role), texts.plain(row.application), row.state, row.sessions) for row in usage
    )
    yield Table("Connections by role and state", ("role", "application", "state", "sessions"), rows)


def budget(about: About, limits: list[Limits]) -> Judged:
    """Whether all app hosts fit, two releases each."""
    room = limits[0].maximum - limits[0].reserved
    if not about.budget:
        return
    fits = about.budget <= room
    yield stated(
        about,
        "connection-budget",
        Level.OK if fits else Level.CRITICAL,
        f"A deploy may need {about.budget} connections, and there are {room}"
        + (
            "."
            if fits
            else ": raise postgresql_max_connections, or use smaller pools, before the next deploy."
        ),
        "fab deploy --plan",
    )


def blocked(about: About, sessions: list[Session]) -> Judged:
    """Who waits for a lock, and who stands first in the chain."""
    waiting = [session for session in sessions if session.blocked_by]
    longest = max(waiting, key=lambda session: session.wait_seconds, default=None)
    if longest is None:
        yield measured(about, "blocked", 0, "No session waits for another")
        return
    roots = _roots(longest, {session.pid: session for session in sessions})
    root = " and ".join(one.who if isinstance(one, Session) else one for one in roots)
    ending = next((one.ending for one in roots if isinstance(one, Session)), "fab db-locks")
    yield measured(
        about,
        "blocked",
        longest.wait_seconds,
        f"{_sessions(waiting, 'waits', 'wait')} for a lock, {longest.who} for {units.duration(longest.wait_seconds)}; "
        f"the root is {root}",
        ending,
    )
    rows = tuple(
        (one.pid, texts.plain(one.role), one.wait_seconds, str(one.blocked_by)[1:-1], texts.query(one.query))
        for one in waiting
    )
    yield Table("Sessions that wait", ("pid", "role", "wait seconds", "blocked by", "query"), rows)


def _roots(session: Session, by_pid: dict[int, Session]) -> list[Session | str]:
    """Those at the end of the chain, who wait for nobody."""
    seen: set[int] = {session.pid}
    found: list[Session | str] = []
    ahead = list(session.blocked_by)
    while ahead:
        pid = ahead.pop(0)
        if pid in seen:
            continue
        seen.add(pid)
        one = by_pid.get(pid)
        if one is None:
            found.append("a prepared transaction" if pid == 0 else f"pid {pid}, which has ended since")
        elif one.blocked_by:
            ahead += one.blocked_by
        else:
            found.append(one)
    return found or ["a deadlock, which the server is about to end"]


def longest_query(about: About, sessions: list[Session]) -> Judged:
    """The query that has run longest beyond what its role may, by an ordinary session."""
    active = [one for one in sessions if one.state == "active" and one.backend_type == "client backend"]
    one = _worst(about, "longest-query", active, lambda session: session.query_seconds)
    if one is None:
        yield measured(about, "longest-query", 0, "No query runs")
        return
    said = f"A query of {one.who} has run for {units.duration(one.query_seconds)}"
    # One that waits for a lock is not at fault; who holds it is.
    command = "fab db-activity" if one.blocked_by else one.ending
    yield measured(about, "longest-query", one.query_seconds, said, command, role=one.role)
    shown = sorted(active, key=lambda session: -session.query_seconds)[:20]
    rows = tuple(
        (each.pid, texts.plain(each.role), each.query_seconds, texts.query(each.query)) for each in shown
    )
    yield Table("Longest queries", ("pid", "role", "seconds", "query"), rows)


def oldest_transaction(
    about: About, sessions: list[Session], prepared: list[Prepared], slots: Sequence[Slot] = ()
) -> Judged:
    """The transaction open longest beyond what its role may, and who keeps dead rows from being cleaned."""
    own = [one for one in sessions if one.transaction_seconds > 0 and one.backend_type == "client backend"]
    oldest = _worst(about, "oldest-transaction", own, lambda session: session.transaction_seconds)
    holders = [(one.held, one.who) for one in sessions]
    holders += [(one.held, f"the prepared transaction {texts.name(one.gid)}") for one in prepared]
    holders += [(one.held, f"the replication slot {texts.name(one.name)}") for one in slots]
    held, holder = max(holders, default=(0, ""))
    pins = f"; {holder} holds back cleaning by {units.count(held)} transactions" if held > 0 else ""
    if oldest is None:
        yield measured(about, "oldest-transaction", 0, f"No transaction is open{pins}")
        return
    seconds = oldest.transaction_seconds
    first = "The oldest" if seconds == max(one.transaction_seconds for one in own) else "A"
    said = f"{first} transaction, of {oldest.who}, is open for {units.duration(seconds)}{pins}"
    yield measured(about, "oldest-transaction", seconds, said, oldest.ending, role=oldest.role)


def idle_in_transaction(about: About, sessions: list[Session]) -> Judged:
    """Who has a transaction open and does nothing."""
    idle = [one for one in sessions if one.state.startswith("idle in transaction")]
    one = _worst(about, "idle-in-transaction", idle, lambda session: session.state_seconds)
    if one is None:
        yield measured(about, "idle-in-transaction", 0, "No session is idle in a transaction")
        return
    many = _sessions(idle, "is", "are")
    said = f"{many} idle in a transaction, {one.who} for {units.duration(one.state_seconds)}"
    yield measured(about, "idle-in-transaction", one.state_seconds, said, one.ending, role=one.role)


def _worst(
    about: About, check: str, sessions: list[Session], seconds: Callable[[Session], float]
) -> Session | None:
    """The one furthest up in what its role may; the longest among equals."""

    def order(session: Session) -> tuple[int, float]:
        return about.threshold(check, session.role).level(seconds(session)).rank, seconds(session)

    return max(sessions, key=order, default=None)


def _sessions(sessions: list[Session], one: str, several: str) -> str:
    return f"1 session {one}" if len(sessions) == 1 else f"{len(sessions)} sessions {several}"


def prepared_transactions(about: About, prepared: list[Prepared]) -> Judged:
    """Prepared transactions keep their locks until somebody ends them, over a restart too."""
    if not prepared:
        yield measured(about, "prepared-transactions", 0, "No transaction is left prepared")
        return
    one = prepared[0]
    gid = texts.plain(one.gid, 60)
    owner, age = texts.plain(one.role, 40), units.duration(one.seconds)
    said = f"{len(prepared)} transactions are prepared and not ended, {gid} of {owner} for {age}"
    yield measured(about, "prepared-transactions", one.seconds, said, "fab db-locks")


SESSIONS = ("sessions", Session)
CHECKS = (
    Check("connections", (("limits", Limits), ("usage", Usage)), connections),
    Check("connection-budget", (("limits", Limits),), budget),
    Check("blocked", (SESSIONS,), blocked),
    Check("longest-query", (SESSIONS,), longest_query),
    Check("oldest-transaction", (SESSIONS, ("prepared", Prepared), ("slots", Slot)), oldest_transaction),
    Check("idle-in-transaction", (SESSIONS,), idle_in_transaction),
    Check("prepared-transactions", (("prepared", Prepared),), prepared_transactions, monitor=False),
)
