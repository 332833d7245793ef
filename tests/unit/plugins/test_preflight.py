"""What a plan looks at before anything changes: memory, certificate, newest backup, and who is in the way."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fabfile.database.toolbox.activity import Session
from fabfile.errors import FailedError, RefusedError
from fabfile.hosts.environment import Environment, Public
from fabfile.rollout import deploy, plan, preflight
from fabfile.traffic import public
from tests.unit.fabfile.fake_fleet import R1, R2, R3
from tests.unit.fabfile.test_choices import fleet, host, row
from tests.unit.fabfile.test_public import edge
from tests.unit.fabfile.test_rollouts import World, world

__all__ = ["edge", "world"]
MB = 10**6


def of_memory(release: str = R3, **memory: Any) -> preflight.Found:
    return preflight.memory(release, fleet(host("a", R2, row(R2, "live"), memory=memory)))


def test_a_second_release_that_does_not_fit_beside_the_first_is_in_the_way() -> None:
    (problem,) = of_memory(available=200 * MB, used={R2: 310 * MB}, most=1024 * MB).problems
    assert problem.startswith("a has 200 MB of memory for a second release, and the live one takes 310:")


def test_what_two_releases_might_take_at_most_is_a_note() -> None:
    found = of_memory(available=600 * MB, used={R2: 310 * MB}, most=1024 * MB)
    assert not found.problems
    assert "each may take 1024 (app_memory_max)" in found.notes[0]
    assert of_memory(available=1800 * MB, used={R2: 310 * MB}, most=1024 * MB) == preflight.Found()


def test_a_warm_release_is_ended_before_a_new_one_is_started_so_its_memory_counts_as_free() -> None:
    used = {R2: 310 * MB, R1: 300 * MB}
    assert not of_memory(available=200 * MB, used=used, most=None).problems


@pytest.mark.parametrize(
    "memory", [{}, {"available": None, "used": {}}, {"available": MB, "used": {R2: 9 * MB, R3: 9 * MB}}]
)
def test_where_nobody_counts_or_it_runs_already_nothing_is_said(memory: dict[str, Any]) -> None:
    assert of_memory(**memory) == preflight.Found()


def test_memory_is_in_the_way_of_a_deploy(world: World) -> None:
    manifest = {"release": R3, "files": {}}
    states = fleet(host("a", R2, row(R2, "live"), memory={"available": MB, "used": {R2: 310 * MB}}))
    assert "IN THE WAY: a has 1 MB of memory" in plan.make(world.environment, manifest, states).text()


def test_a_plan_names_the_hosts_whose_slipway_is_another(world: World) -> None:
    manifest, program = {"release": R3, "files": {}}, {"version": "1.0.0", "digest": "0123456789abcdef"}
    states = fleet(host("a", R2, row(R2, "live"), program=program), host("b", R2, row(R2, "live")))
    (note,) = plan.make(world.environment, manifest, states).notes
    assert note.startswith("a: its slipway is 0123456789abcdef, and this fab came with ")


def test_what_a_service_asks_of_a_database_that_is_not_there_is_in_the_way(world: World) -> None:
    said = {"application": "notes:app", "migrations": "alembic", "environment": {"DATABASE_URL": "url"}}
    states, without = fleet(host("a", R2, row(R2, "live"))), replace(world.environment, has_database=False)
    told = plan.make(without, {"release": R3, "files": {}, "service": said}, states)
    assert (
        "the service has environment and migrations in its [tool.slipway], and inventory/" in told.problems[0]
    )
    plain = plan.make(without, {"release": R3, "files": {}, "service": {"application": "hello:app"}}, states)
    assert (plain.problems, plain.connections) == ([], "none, because the inventory has no database")
    asked = plan.make(world.environment, {"release": R3, "files": {}, "service": said}, states)
    assert not asked.problems


def backups(*hours: float) -> Any:
    made = [datetime.now(UTC) - timedelta(hours=each) for each in hours]
    return lambda _: [{"at": at.isoformat().replace("+00:00", "Z"), "file": f"{at:%H}.dump"} for at in made]


def unreachable(_: Environment) -> Any:
    raise FailedError("db-1 is down")


def asked(environment: Environment, hours: float) -> Environment:
    return replace(environment, policy=replace(environment.policy, backup_hours=hours))


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        (backups(30, 5), "the newest backup is 5."),
        (backups(), "there is no backup of the database"),
        (unreachable, "how old the newest backup is cannot be told: db-1 is down"),
        (lambda _: [{"at": "yesterday", "file": "x"}], "how old the newest backup is cannot be told: "),
    ],
)
def test_a_deploy_that_migrates_says_how_old_the_newest_backup_is(
    world: World, listed: Any, said: str
) -> None:
    found = preflight.before_migrating(world.environment, listed, lambda _: [])
    assert found.backup.startswith(said)
    assert not found.problems


@pytest.mark.parametrize("listed", [backups(30, 27), backups(), unreachable])
def test_where_the_inventory_wants_a_backup_an_older_one_is_in_the_way(world: World, listed: Any) -> None:
    (problem,) = preflight.before_migrating(asked(world.environment, 26), listed, lambda _: []).problems
    assert "deploy_backup_hours is 26" in problem
    assert not preflight.before_migrating(asked(world.environment, 26), backups(25), lambda _: []).problems


def session(pid: int, seconds: float | None, kind: str = "client backend") -> Session:
    now = datetime.now(UTC)
    return Session(
        pid, now, "slipway_backup", "shop", "pg_dump", "socket", "active", kind, "", seconds, 1, 1, [], ""
    )


def test_who_would_keep_a_migration_waiting_is_named_the_longest_first(world: World) -> None:
    sessions = [
        session(1, 5),
        session(2, 900),
        session(3, 1),
        session(4, 999, "autovacuum worker"),
        session(5, None),
    ]
    notes = preflight.before_migrating(world.environment, backups(1), lambda _: sessions).notes
    assert [note.partition(" (")[0] for note in notes] == [
        f"a migration may have to wait for pid {n}" for n in (2, 1)
    ]
    assert "slipway_backup, pg_dump), in a transaction for 900 s" in notes[0]
    (note,) = preflight.before_migrating(world.environment, backups(1), unreachable).notes
    assert note == "who would keep a migration waiting cannot be told: db-1 is down"


def test_a_deploy_that_migrates_without_the_backup_that_is_wanted_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = preflight.Found(["there is no backup"], backup="there is no backup of the database")
    monkeypatch.setattr(preflight, "before_migrating", lambda _: found)
    world.deploy(R3)
    world.revisions.append({"id": "2", "kind": "expand", "title": "An index"})
    with pytest.raises(RefusedError, match="IN THE WAY: there is no backup"):
        world.deploy(R1)
    assert world.live == {R3}
    said = deploy._looked_at(
        world.environment, world.bundle(R1), fleet(host("a", R2, row(R2, "live")))
    ).text()
    assert "  backup: there is no backup of the database\n" in said


def test_a_certificate_that_ends_soon_is_said(edge: Public) -> None:
    (note,) = public.certificate(edge)
    assert note.startswith("the certificate of shop.test ends in 2.0 days")
    assert public.ending(edge, time.time() + 90 * 86400) == []
    assert public.certificate(replace(edge, path="")) == []


def test_a_certificate_that_nobody_trusts_is_said(edge: Public) -> None:
    (note,) = public.certificate(replace(edge, name="other.test"))
    assert note.startswith("the public certificate was not seen: https://other.test:")
    assert "Hostname mismatch" in note
