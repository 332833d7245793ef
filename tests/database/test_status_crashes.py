"""A server that crashed and is up again says so: an hour later nothing else would tell of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import psycopg
import pytest

from fabfile.database.checks.sections import starts
from fabfile.database.findings import Level
from tests.database.status_ground import Cluster, found, running, until, wrong
from tests.database.test_status_faults import with_standby


@pytest.fixture(scope="module")
def server(version: int) -> Iterator[Cluster]:
    with running(version) as made:
        yield made


@pytest.fixture(autouse=True)
def _not_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server was made a moment ago, and all that starts it anew comes soon after."""
    monkeypatch.setattr(starts, "FIRST_START", 0)
    monkeypatch.setattr(starts, "LEAST_APART", 1)


def again(server: Cluster, mode: str) -> None:
    """Stopped in this way, and started."""
    server.close()
    server.stop(mode)
    server.start()


def answers(server: Cluster) -> bool:
    try:
        server.connect().close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.every_version("when statistics are dropped and what a start leaves is each server's own")
def test_a_restart_in_order_is_no_crash(server: Cluster) -> None:
    again(server, "fast")
    again(server, "fast")
    report = server.look()
    assert wrong(report) == {}
    assert "neither it nor a session has crashed" in found(report, "restart").sentence


@pytest.mark.every_version("when statistics are dropped and what a start leaves is each server's own")
def test_a_server_that_was_killed_says_that_it_had_to_recover(server: Cluster) -> None:
    again(server, "immediate")
    report = server.look()
    assert wrong(report).keys() == {"restart"}
    finding = found(report, "restart")
    assert finding.level is Level.WARN
    assert "had to recover" in finding.sentence


def test_its_first_start_is_no_crash(server: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    # It starts on a copy of a cluster that this run made.
    monkeypatch.setattr(starts, "FIRST_START", 86_400)
    again(server, "immediate")
    assert wrong(server.look()) == {}


def test_a_session_that_was_killed_ended_every_other(server: Cluster) -> None:
    again(server, "fast")
    victim = server.connect()
    bystander = server.connect()
    # The server has run for longer than its workers take to start.
    until(lambda: victim.execute("SELECT now() - pg_postmaster_start_time() > '2 s'").fetchone() == (True,))
    os.kill(victim.info.backend_pid, signal.SIGKILL)
    until(lambda: _ended(bystander))
    until(lambda: answers(server))
    report = server.look()
    assert wrong(report).keys() == {"restart"}
    assert "A session crashed" in found(report, "restart").sentence


def _ended(session: psycopg.Connection[object]) -> bool:
    try:
        session.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    return False


def test_a_standby_that_became_the_primary_says_so_with_its_timeline(server: Cluster) -> None:
    with with_standby(server.version) as (_, standby):
        assert wrong(standby.look()) == {}
        standby.execute("SELECT pg_promote()")
        report = standby.look()
        assert wrong(report).keys() == {"timeline"}
        finding = found(report, "timeline")
        assert finding.level is Level.WARN
        assert "timeline 2" in finding.sentence
