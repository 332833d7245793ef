"""`fab migrate-plan` while a host is down: what the others know is shown, and who is missing is named."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import pytest
from invoke import Context, Exit

from fabfile.errors import FabError
from fabfile.hosts import fleet
from fabfile.hosts.connection import UnreachableError
from fabfile.hosts.fleet import HostsError
from fabfile.migration import planning
from fabfile.tasks import migrations, running
from tests.unit.fabfile.fake_fleet import R2
from tests.unit.fabfile.test_rollouts import World, pending, world

__all__ = ["world"]
SQL = {"1": "CREATE TABLE products (id int)", "2": "ALTER TABLE products ADD COLUMN note text"}


@pytest.fixture(autouse=True)
def revisions(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who was asked for its SQL; the database has no table."""
    asked: list[str] = []

    def sql(known: fleet.Fleet, *_: str) -> dict[str, str]:
        asked.append(known.first.name)
        return SQL

    @contextmanager
    def looking(*_: Any, **__: Any) -> Any:
        yield None

    monkeypatch.setattr(planning, "_sql", sql)
    monkeypatch.setattr(planning, "looking", looking)
    monkeypatch.setattr(planning, "in_use", lambda *_: {})
    pending(world)
    return asked


def test_the_plan_is_made_of_who_answers(world: World, revisions: list[str]) -> None:
    world.hosts["app-1"].down = True
    plan = planning.make(world.environment)
    assert [step.revision.id for step in plan.steps] == ["2"]
    assert revisions == ["app-2"]
    shown = planning.text(plan)
    assert "ACCESS EXCLUSIVE on products" in shown
    assert "NOT ASKED:\n  app-1 " in shown


def test_a_host_that_answers_with_a_fault_is_missing_too(world: World, revisions: list[str]) -> None:
    world.hosts["app-1"].failing = {"status": "its journal is damaged"}
    assert planning.make(world.environment).missing == ["app-1: its journal is damaged"]
    assert revisions == ["app-2"]


def test_a_database_that_is_down_leaves_the_locks_of_the_plan(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any, **__: Any) -> Any:
        raise UnreachableError("db-1 cannot be reached over SSH")

    monkeypatch.setattr(planning, "looking", down)
    shown = planning.text(planning.make(world.environment))
    assert "ACCESS EXCLUSIVE on products" in shown
    assert "who uses them, is not known: db-1 cannot be reached" in shown


def test_without_any_host_there_is_no_plan(world: World) -> None:
    for host in world.hosts.values():
        host.down = True
    with pytest.raises(FabError):
        planning.make(world.environment)
    for host in world.hosts.values():
        host.down, host.failing = False, {"status": "its journal is damaged"}
    with pytest.raises(HostsError):
        planning.make(world.environment)


def test_a_plan_that_lacks_somebody_ends_as_a_reading_task_does(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(running, "chosen", lambda *_: world.environment)
    world.hosts["app-3"].down = True
    with pytest.raises(Exit) as ended:
        migrations.migrate_plan(Context(), release=R2)
    assert ended.value.code == 3
    assert "app-3" in capsys.readouterr().out
