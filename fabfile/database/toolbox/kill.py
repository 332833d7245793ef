"""`fab db-kill`: ends what a session does, then the session; never another than the one that was shown."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import errors

from fabfile.database import texts, units
from fabfile.database.checks import planned
from fabfile.database.toolbox import reading
from fabfile.errors import FabError, RefusedError

# Seconds that a statement may take to stop, and a session to end, before the next step.
CANCEL_PATIENCE, END_PATIENCE, TICK = 5.0, 10.0, 0.1
AGAINST_WRAPAROUND = re.compile(r"\(to prevent wraparound\)\s*$")


class StillThereError(FabError):
    """The session was asked to end, and has not; the message says what to type."""

    exit_code = 3


@dataclass(frozen=True)
class Target:
    """A session as it was when it was shown. blocks: how many sessions wait for it directly."""

    pid: int
    backend_start: datetime
    role: str
    superuser: bool
    database: str
    application: str
    client: str
    state: str
    backend_type: str
    leader_pid: int | None
    query_start: datetime | None
    transaction_seconds: float | None
    query_seconds: float | None
    blocks: int
    query: str

    @property
    def planned(self) -> str:
        """What it is when it was begun on purpose and ends by itself, "" otherwise."""
        return planned.what(self.role, self.application, self.query)

    def is_same(self, other: Target | None) -> bool:
        return other is not None and other.backend_start == self.backend_start

    def text(self) -> str:
        """Who it is and what it does, one thing a line."""
        connected = self.backend_start.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return "\n".join(
            (
                f"pid          {self.pid}, connected {connected} from {self.client}",
                f"role         {texts.plain(self.role)} on {texts.plain(self.database)}",
                f"application  {texts.plain(self.application, 60) or '-'}",
                f"state        {self.state or self.backend_type}, statement {units.duration(self.query_seconds)}, "
                f"transaction {units.duration(self.transaction_seconds)}, blocks {self.blocks}",
                *((f"work         {self.planned}",) if self.planned else ()),
                f"statement    {texts.query(self.query, 200) or '-'}",
            )
        )


@dataclass(frozen=True)
class Wish:
    """What may be done. confirm: shows a question, and whether it was answered yes. may_ask: somebody is there."""

    confirm: Callable[[str], bool]
    terminate: bool = False
    even_wraparound: bool = False
    even_planned: bool = False
    may_ask: bool = False
    environment: str = ""


def read(connection: psycopg.Connection[Any], pid: int) -> Target | None:
    """The session, None when it is gone."""
    with reading.sentences(f"Session {pid}"):
        return next(iter(reading.rows(connection, Target, "target", {"pid": pid})), None)


def end(connection: psycopg.Connection[Any], pid: int, wish: Wish, tell: Callable[[str], None]) -> str:
    """Cancel the session's statement, and if that is not enough and wished for, end the session. A sentence of it.

    Raises RefusedError before anything is done, StillThereError when it does not end.
    """
    target = read(connection, pid)
    if target is None:
        raise RefusedError(f"There is no session {pid}: it has ended, or never was. Nothing was done.")
    _refuse(connection, target, wish)
    tell(target.text())
    if target.state == "active":
        if not wish.confirm(f"Cancel the statement of {pid}?"):
            raise RefusedError("Nothing was done.")
        _signalled(connection, "cancel", target)
        if _wait(connection, target, CANCEL_PATIENCE, lambda now: _has_stopped(target, now)):
            return f"The statement of {pid} was cancelled; its session goes on."
        tell(f"The statement of {pid} has not ended {CANCEL_PATIENCE:g} s after it was cancelled.")
    _agree_to_terminate(target, wish)
    _signalled(connection, "terminate", target)
    if _wait(connection, target, END_PATIENCE, lambda now: not target.is_same(now)):
        return f"Session {pid} has ended, and its transaction was rolled back."
    raise StillThereError(
        f"Session {pid} was told to end and has not within {END_PATIENCE:g} s: it waits for the disk or the network, "
        "or rolls back. Do not kill -9 it: that restarts the whole server. Look again: fab db-activity"
    )


def _agree_to_terminate(target: Target, wish: Wish) -> None:
    """--terminate is a yes once the cancel was agreed to; without it, the session's end is a second question."""
    if wish.terminate and target.state == "active":
        return
    asked = f"End the session {target.pid}? Its transaction is rolled back."
    if not (wish.terminate or wish.may_ask) or not wish.confirm(asked):
        env = f" --env {wish.environment}" if wish.environment else ""
        raise StillThereError(
            f"Session {target.pid} is still there, {target.state or target.backend_type}. "
            f"To end it and not only its statement: fab db-kill {target.pid} --terminate{env}"
        )


def _has_stopped(target: Target, now: Target | None) -> bool:
    """Whether the statement that was shown no longer runs."""
    return (
        now is None
        or not target.is_same(now)
        or now.state != "active"
        or now.query_start != target.query_start
    )


def _refuse(connection: psycopg.Connection[Any], target: Target, wish: Wish) -> None:
    pid, reason = target.pid, ""
    if pid == connection.info.backend_pid:
        reason = "is this command's own"
    elif target.backend_type == "walsender":
        reason = "sends WAL to a standby or a backup, and ending it lets that fall behind: see fab db-status"
    elif target.leader_pid is not None:
        reason = f"is a parallel worker of {target.leader_pid}: end that one"
    elif target.backend_type == "autovacuum worker":
        if AGAINST_WRAPAROUND.search(target.query) and not wish.even_wraparound:
            reason = (
                "vacuums to prevent transaction id wraparound, comes back at once, and the server stops accepting "
                "writes if it never ends. If that is understood, add --even-wraparound"
            )
    elif target.backend_type != "client backend":
        reason = f"is no client but the server's own {target.backend_type}"
    elif target.superuser:
        reason = (
            f"is the superuser {texts.plain(target.role)}'s, which only a superuser may end. On the host: "
            f"sudo -u postgres psql -c 'SELECT pg_cancel_backend({pid})'"
        )
    elif target.planned and not wish.even_planned:
        reason = (
            f"is {target.planned}: it was begun on purpose and ends by itself, and who waits for it fails with it; a "
            "build of an index that is cut off leaves an invalid one. If that is understood, add --even-planned"
        )
    if reason:
        raise RefusedError(f"Session {pid} {reason}. Nothing was done.")


def _signalled(connection: psycopg.Connection[Any], name: str, target: Target) -> bool:
    """Whether the session that was shown got the signal; another one under its pid never does."""
    values = {"pid": target.pid, "backend_start": target.backend_start}
    with reading.sentences(f"Session {target.pid}"):
        try:
            row = connection.execute(reading.composed(connection, name), values).fetchone()
        except errors.InsufficientPrivilege as failure:
            raise RefusedError(
                f"Session {target.pid} may not be ended by {connection.info.user}: {reading.said(failure)}. "
                "It goes on. On the host, a superuser may: sudo -u postgres psql"
            ) from None
    return bool(row and row[0])


def _wait(
    connection: psycopg.Connection[Any],
    target: Target,
    patience: float,
    over: Callable[[Target | None], bool],
) -> bool:
    deadline = time.monotonic() + patience
    while not (done := over(read(connection, target.pid))) and time.monotonic() < deadline:
        time.sleep(TICK)
    return done
