"""Who waits for whom, who has been at it for too long, who keeps what from being cleaned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fabfile.database import texts, units
from fabfile.database.checks import planned
from fabfile.database.checks.judging import About, Check, Judged, measured
from fabfile.database.checks.sections.slots import Slot
from fabfile.database.findings import Table


@dataclass(frozen=True)
class Session:
    """held: how many transactions ago its snapshot was taken. blocked_by: pids, 0 for a prepared transaction.

    doing: what the server counts the progress of, "" for nothing; percent: how far that is, where it is known.
    """

    pid: int
    role: str
    database: str
    application: str
    state: str
    backend_type: str
    connected_seconds: float
    transaction_seconds: float
    query_seconds: float
    state_seconds: float
    held: int
    blocked_by: list[int]
    wait_seconds: float
    doing: str
    percent: float | None
    query: str

    @property
    def planned(self) -> str:
        """What it is when it was begun on purpose and ends by itself, "" otherwise."""
        return planned.what(self.role, self.application, self.query, self.doing)

    @property
    def who(self) -> str:
        """Such as "pid 4711 (blog, nightly report)"; what strangers chose is made safe."""
        names = [texts.plain(name, 40) for name in (self.role, self.application) if name]
        work = f", {self.planned}" if self.planned else ""
        return f"pid {self.pid} ({', '.join(names) or self.backend_type}){work}"

    @property
    def progress(self) -> str:
        """Such as "create index of blog.big, building index: scanning table, 61 %"."""
        far = "" if self.percent is None else f", {self.percent:.0f} %"
        return f"{texts.plain(self.doing, 120)}{far}" if self.doing else ""

    @property
    def ending(self) -> str:
        """What to type against it: there is no statement to cancel where none runs, and planned work goes on."""
        if self.planned:
            return "fab db-activity"
        return f"fab db-kill {self.pid}" + (" --terminate" if self.state.startswith("idle") else "")

    def limited_as(self, about: About, check: str) -> str:
        """Whose thresholds hold for it: its role's, else those of planned work, else everybody's."""
        own = f"{check}/{self.role}" in about.thresholds
        return self.role if own or not self.planned else planned.ROLE


@dataclass(frozen=True)
class Prepared:
    gid: str
    role: str
    database: str
    seconds: float
    held: int


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
    far = f": {one.progress}" if one.progress else ""
    said = f"A query of {one.who} has run for {units.duration(one.query_seconds)}{far}"
    # One that waits for a lock is not at fault; who holds it is.
    command = "fab db-activity" if one.blocked_by else one.ending
    role = one.limited_as(about, "longest-query")
    yield measured(about, "longest-query", one.query_seconds, said, command, role=role)
    shown = sorted(active, key=lambda session: -session.query_seconds)[:20]
    rows = tuple(
        (each.pid, texts.plain(each.role), each.query_seconds, each.progress, texts.query(each.query))
        for each in shown
    )
    yield Table("Longest queries", ("pid", "role", "seconds", "progress", "query"), rows)


def oldest_transaction(about: About, sessions: list[Session]) -> Judged:
    """The transaction open longest beyond what its role may."""
    own = [one for one in sessions if one.transaction_seconds > 0 and one.backend_type == "client backend"]
    oldest = _worst(about, "oldest-transaction", own, lambda session: session.transaction_seconds)
    if oldest is None:
        yield measured(about, "oldest-transaction", 0, "No transaction is open")
        return
    seconds = oldest.transaction_seconds
    first = "The oldest" if seconds == max(one.transaction_seconds for one in own) else "A"
    said = f"{first} transaction, of {oldest.who}, is open for {units.duration(seconds)}"
    role = oldest.limited_as(about, "oldest-transaction")
    yield measured(about, "oldest-transaction", seconds, said, oldest.ending, role=role)


def cleaning(
    about: About, sessions: list[Session], prepared: list[Prepared], slots: Sequence[Slot] = ()
) -> Judged:
    """Who keeps dead rows from being cleaned, be it a session, a standby's, a prepared transaction or a slot."""
    holders = [(one.held, one.who, one.ending) for one in sessions]
    holders += [
        (one.held, f"the prepared transaction {texts.name(one.gid)}", "fab db-locks") for one in prepared
    ]
    command = "fab db-status --section replication"
    holders += [(one.held, f"the replication slot {texts.name(one.name)}", command) for one in slots]
    held, holder, command = max(holders, default=(0, "", ""))
    if held <= 0:
        yield measured(about, "cleaning", 0, "Nothing holds back cleaning")
        return
    said = f"{holder} holds back cleaning by {units.count(held)} transactions"
    yield measured(about, "cleaning", held, said[0].upper() + said[1:], command)


def idle_in_transaction(about: About, sessions: list[Session]) -> Judged:
    """Who has a transaction open and does nothing."""
    idle = [one for one in sessions if one.state.startswith("idle in transaction")]
    one = _worst(about, "idle-in-transaction", idle, lambda session: session.state_seconds)
    if one is None:
        yield measured(about, "idle-in-transaction", 0, "No session is idle in a transaction")
        return
    many = _sessions(idle, "is", "are")
    said = f"{many} idle in a transaction, {one.who} for {units.duration(one.state_seconds)}"
    role = one.limited_as(about, "idle-in-transaction")
    yield measured(about, "idle-in-transaction", one.state_seconds, said, one.ending, role=role)


def _worst(
    about: About, check: str, sessions: list[Session], seconds: Callable[[Session], float]
) -> Session | None:
    """The one furthest up in what its role may; the longest among equals."""

    def order(session: Session) -> tuple[int, float]:
        role = session.limited_as(about, check)
        return about.threshold(check, role).level(seconds(session)).rank, seconds(session)

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
    Check("blocked", (SESSIONS,), blocked),
    Check("longest-query", (SESSIONS,), longest_query),
    Check("oldest-transaction", (SESSIONS,), oldest_transaction),
    Check("cleaning", (SESSIONS, ("prepared", Prepared), ("slots", Slot)), cleaning),
    Check("idle-in-transaction", (SESSIONS,), idle_in_transaction),
    Check("prepared-transactions", (("prepared", Prepared),), prepared_transactions, monitor=False),
)
