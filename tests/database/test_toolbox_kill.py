"""db-kill on real servers: what it ends, what it never ends, and that it ends no other than was shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from fabfile.database.toolbox import kill
from fabfile.errors import RefusedError
from tests.database.toolbox_ground import Ground, ground, server, wait_for

__all__ = ["ground", "server"]
SLEEP = "SELECT 'secret', pg_sleep(600)"


@pytest.fixture
def signal(ground: Ground) -> psycopg.Connection[Any]:
    return ground.connect("slipway_signal", "slipway db-kill")


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine is no session that does not end."""
    monkeypatch.setattr(kill, "CANCEL_PATIENCE", 60.0)
    monkeypatch.setattr(kill, "END_PATIENCE", 60.0)


def answers(*given: bool) -> tuple[Callable[[str], bool], list[str]]:
    """Somebody who answers so, and what was asked."""
    coming, asked = list(given), []

    def confirm(question: str) -> bool:
        asked.append(question)
        return coming.pop(0)

    return confirm, asked


def is_gone(ground: Ground, pid: int) -> bool:
    row = ground.connect().execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone()
    return row == (0,)


@pytest.mark.every_version("the query is sent to servers of every version")
def test_a_statement_is_cancelled_after_it_was_shown_and_agreed_to(
    ground: Ground, signal: psycopg.Connection[Any]
) -> None:
    told: list[str] = []
    confirm, asked = answers(True)
    with ground.running(SLEEP, application="\x1b[31mreport") as session:
        said = kill.end(signal, session.pid, kill.Wish(confirm), told.append)
        assert said == f"The statement of {session.pid} was cancelled; its session goes on."
        session.thread.join(60)
        assert isinstance(session.failure, psycopg.errors.QueryCanceled)
        assert not is_gone(ground, session.pid)
    assert asked == [f"Cancel the statement of {session.pid}?"]
    assert "role         shop on shop" in told[0]
    # From 16 on the server itself writes what is not printable in an application's name as \x1b.
    unseen = "?" if ground.version < 16 else r"\x1b"
    assert f"application  {unseen}[31mreport" in told[0]
    assert "SELECT ?, pg_sleep(?)" in told[0]
    assert "secret" not in told[0]


def test_without_a_yes_nothing_is_done(ground: Ground, signal: psycopg.Connection[Any]) -> None:
    confirm, _asked = answers(False)
    with ground.running(SLEEP) as session:
        with pytest.raises(RefusedError, match=r"Nothing was done\."):
            kill.end(signal, session.pid, kill.Wish(confirm), print)
        assert session.thread.is_alive()


@pytest.mark.every_version("the query is sent to servers of every version")
def test_a_session_idle_in_a_transaction_needs_terminate(
    ground: Ground, signal: psycopg.Connection[Any]
) -> None:
    idle = ground.holding("SELECT FROM shop.orders")
    pid = idle.info.backend_pid
    confirm, asked = answers(True)
    with pytest.raises(kill.StillThereError, match=f"fab db-kill {pid} --terminate"):
        kill.end(signal, pid, kill.Wish(confirm), print)
    assert asked == [], "there is no statement to cancel"
    said = kill.end(signal, pid, kill.Wish(confirm, terminate=True), print)
    assert said == f"Session {pid} has ended, and its transaction was rolled back."
    assert asked == [f"End the session {pid}? Its transaction is rolled back."]
    wait_for(lambda: is_gone(ground, pid))


def test_a_second_yes_on_a_terminal_ends_the_session(ground: Ground, signal: psycopg.Connection[Any]) -> None:
    idle = ground.holding("SELECT FROM shop.orders")
    confirm, _asked = answers(True)
    assert "has ended" in kill.end(signal, idle.info.backend_pid, kill.Wish(confirm, may_ask=True), print)


def test_a_statement_that_survives_its_cancel_is_ended_with_its_session(
    ground: Ground, signal: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kill, "CANCEL_PATIENCE", 1.0)
    stubborn = "LOOP BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN END; END LOOP;"
    told: list[str] = []
    confirm, asked = answers(True, True)
    with ground.running(f"DO $$ BEGIN {stubborn} END $$") as session:
        with pytest.raises(kill.StillThereError, match="--terminate"):
            kill.end(signal, session.pid, kill.Wish(confirm), told.append)
        assert "has not ended 1 s after it was cancelled" in told[-1]
        assert not is_gone(ground, session.pid)
        assert "has ended" in kill.end(signal, session.pid, kill.Wish(confirm, terminate=True), told.append)
        assert is_gone(ground, session.pid)
    assert asked == [f"Cancel the statement of {session.pid}?"] * 2


def test_another_session_under_the_same_pid_gets_no_signal(
    ground: Ground, signal: psycopg.Connection[Any]
) -> None:
    with ground.running(SLEEP) as session:
        target = kill.read(signal, session.pid)
        assert target is not None
        before = replace(target, backend_start=target.backend_start.replace(year=2020))
        assert not kill._signalled(signal, "terminate", before)
        assert not kill._signalled(signal, "cancel", before)
        assert session.thread.is_alive()
        assert not before.is_same(target)


def test_what_is_gone_and_what_is_its_own_is_refused(ground: Ground, signal: psycopg.Connection[Any]) -> None:
    confirm, asked = answers()
    with pytest.raises(RefusedError, match="There is no session 4000000"):
        kill.end(signal, 4_000_000, kill.Wish(confirm), print)
    with pytest.raises(RefusedError, match="is this command's own"):
        kill.end(signal, signal.info.backend_pid, kill.Wish(confirm), print)
    assert asked == []


def test_a_superusers_session_is_refused_with_the_way(
    ground: Ground, signal: psycopg.Connection[Any]
) -> None:
    confirm, _asked = answers()
    with ground.running(SLEEP, "postgres") as session:
        with pytest.raises(RefusedError, match="sudo -u postgres psql"):
            kill.end(signal, session.pid, kill.Wish(confirm), print)
        assert session.thread.is_alive()


def test_the_servers_own_processes_are_refused(ground: Ground, signal: psycopg.Connection[Any]) -> None:
    row = signal.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'").fetchone()
    assert row is not None
    with pytest.raises(RefusedError, match="the server's own checkpointer"):
        kill.end(signal, row[0], kill.Wish(answers()[0]), print)


def test_a_standbys_walsender_is_refused(ground: Ground, signal: psycopg.Connection[Any]) -> None:
    made = psycopg.connect(host=str(ground.directory), user="postgres", replication="true", autocommit=True)
    try:
        row = signal.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsender'").fetchone()
        assert row is not None
        with pytest.raises(RefusedError, match="sends WAL to a standby"):
            kill.end(signal, row[0], kill.Wish(answers()[0]), print)
    finally:
        made.close()


@pytest.mark.parametrize("even", [False, True])
def test_a_vacuum_against_wraparound_needs_a_word(
    even: bool, ground: Ground, signal: psycopg.Connection[Any]
) -> None:
    with ground.running(SLEEP) as session:
        target = kill.read(signal, session.pid)
    assert target is not None
    vacuum = replace(
        target,
        backend_type="autovacuum worker",
        query="autovacuum: VACUUM ANALYZE shop.orders (to prevent wraparound)",
    )
    wish = kill.Wish(answers()[0], even_wraparound=even)
    if even:
        kill._refuse(signal, vacuum, wish)
        return
    with pytest.raises(RefusedError, match="add --even-wraparound"):
        kill._refuse(signal, vacuum, wish)


def test_a_role_that_may_not_signal_says_so(ground: Ground) -> None:
    ops = ground.connect("slipway_ops")
    with ground.running(SLEEP) as session:
        with pytest.raises(RefusedError, match="may not be ended by slipway_ops"):
            kill.end(ops, session.pid, kill.Wish(answers(True)[0]), print)
        assert session.thread.is_alive()


def test_planned_work_is_named_and_wants_more_than_a_yes(
    ground: Ground, signal: psycopg.Connection[Any]
) -> None:
    told: list[str] = []
    confirm, asked = answers(True)
    with ground.running(SLEEP, "slipway_backup", "pg_dump") as session:
        with pytest.raises(RefusedError, match=r"is a backup: it was begun on purpose.* add --even-planned"):
            kill.end(signal, session.pid, kill.Wish(confirm), told.append)
        assert asked == []
        assert session.thread.is_alive()
        kill.end(signal, session.pid, kill.Wish(confirm, even_planned=True), told.append)
    assert "work         a backup" in told[0]
