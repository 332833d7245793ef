"""A watch outlives a restart of the server and a lost way to its host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from fabfile.database import look
from fabfile.database.asking import connection, queries
from fabfile.database.asking.connection import Tunnel
from fabfile.database.asking.place import Database
from fabfile.database.findings import Level
from fabfile.hosts.connection import UnreachableError
from fabfile.hosts.environment import AppHost
from tests.database.status_ground import Cluster, running, wrong

ENVIRONMENT: Any = SimpleNamespace(
    name="outlived", app_hosts=[SimpleNamespace(name="db-1")], budget=SimpleNamespace(of_one_release=1)
)


class Way(Tunnel):
    """The way to a server of the test's; lost once for each time that is wished."""

    losses = 0
    opened = 0

    @property
    def facts(self) -> dict[str, Any]:
        return {"clock": 0.0, "unit": {"ActiveState": "failed"}, "server": {"places": []}}

    def refresh(self) -> None:
        if Way.losses:
            Way.losses -= 1
            raise UnreachableError("The host is away.")


@pytest.fixture
def server(version: int) -> Iterator[Cluster]:
    with running(version) as made:
        yield made


@pytest.fixture
def eye(server: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[look.Look]:
    """Looks at the server as db-status does, over a way of the test's."""
    Way.losses = Way.opened = 0

    @contextmanager
    def tunnel(database: Database) -> Iterator[Tunnel]:
        Way.opened += 1
        yield Way(database, server.directory, None, 0.0)  # type: ignore[arg-type]

    monkeypatch.setattr(connection, "tunnel", tunnel)
    monkeypatch.setattr(
        "fabfile.database.checks.counters.Memory.since", lambda _self, name, now: look_since(name, now)
    )
    host = AppHost("db-1", "192.0.2.1", 22, "deploy", tmp_path, tmp_path)
    with look.Look(
        ENVIRONMENT, replace(Database(host, "shop", "shop", 5432, "14", "main"), backups_expected=False)
    ) as made:
        yield made


def look_since(name: str, now: Any) -> Any:
    from fabfile.database.checks.counters import from_the_beginning

    return from_the_beginning(name, now)


def test_it_sees_the_server_stop_and_come_again(server: Cluster, eye: look.Look) -> None:
    assert eye.again().server.role == "primary"
    server.stop("fast")
    gone = eye.again()
    assert (gone.server.role, gone.exit_code) == ("down", 2)
    unread = {each.check for each in gone.findings if each.level is Level.UNKNOWN}
    assert {"tables-section-unread", "sessions-section-unread"} <= unread
    server.start()
    assert eye.again().server.role == "primary"
    assert Way.opened == 1


def test_one_restart_between_two_looks_is_no_failure(server: Cluster, eye: look.Look) -> None:
    eye.again()
    server.stop("fast")
    server.start()
    again = eye.again()
    assert again.server.role == "primary"
    assert "sessions-section-unread" not in wrong(again)


def test_a_lost_way_is_opened_anew_for_the_next_look(eye: look.Look) -> None:
    eye.again()
    Way.losses = 1
    with pytest.raises(UnreachableError, match="The host is away"):
        eye.again()
    assert eye.again().server.role == "primary"
    assert Way.opened == 2


def test_one_section_of_a_server_that_is_down_is_not_right(server: Cluster, eye: look.Look) -> None:
    from fabfile.database.screen import terminal

    server.stop("fast")
    report = eye.again(("tables",))
    assert [each.level for each in terminal.findings(report, ("tables",))] == [Level.CRITICAL, Level.UNKNOWN]


def test_a_session_that_is_ended_within_a_look_leaves_the_rest_unknown(
    server: Cluster, eye: look.Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    eye.again()
    session: psycopg.Connection[Any] = eye._session  # type: ignore[assignment]
    real = queries.rows

    def ended(asked: Any, kind: Any, name: str, *more: Any, **parts: Any) -> Any:
        if name == "measuring":
            server.execute(f"SELECT pg_terminate_backend({session.info.backend_pid})")
        return real(asked, kind, name, *more, **parts)

    monkeypatch.setattr(queries, "rows", ended)
    report = eye.again()
    assert "the connection was lost" in " ".join(wrong(report).values())
    assert report.exit_code == 3
