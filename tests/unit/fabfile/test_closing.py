"""Keeping everybody out, letting them in, marking a release on the fleet, and what a plan says."""

from __future__ import annotations

from typing import Any

import pytest

from fabfile.errors import LockedError, RefusedError
from fabfile.hosts.answers import Answer
from fabfile.hosts.fleet import refusal
from fabfile.programs import zipped
from fabfile.rollout import deploy, recover, rollback
from fabfile.upkeep import closing, overview
from tests.unit.fabfile.fake_fleet import R1, R2, R3, serving
from tests.unit.fabfile.test_rollouts import World, world

__all__ = ["world"]


def freeze(world: World) -> dict[str, Any]:
    lease = {"state": "held", "nonce": "x", "fence": 4, "holder": "ada", "process": "1@ci", "since": "10:00"}
    frozen = {**lease, "freeze": "incident 42", "expires": "14:00", "command": "fab lock"}
    world.hosts["app-1"].lease, world.hosts["app-1"].fence = frozen, 4
    return frozen


def test_a_locked_environment_says_why_and_nobody_gets_in(world: World) -> None:
    freeze(world)
    for typed in (lambda: world.deploy(R3), world.rollback, lambda: deploy.require_free(world.environment)):
        with pytest.raises(
            LockedError, match=r"ada keeps everybody out of lab.*until 14:00: incident 42"
        ) as locked:
            typed()
        assert "fab unlock --env lab" in str(locked.value)
    assert world.live == {R2}


def test_unlock_ends_the_lease_that_was_shown_and_no_other(world: World) -> None:
    held = freeze(world)
    shown = closing.leases(world.environment)
    assert closing.whose("app-1", shown["app-1"]).endswith("incident 42.")
    assert closing.unlock(world.environment, shown) == ["app-1"]
    assert held["fence"] == 4
    world.rollback()
    assert world.live == {R1}


def test_a_plan_of_a_rollback_changes_nothing_and_says_where_it_goes(world: World) -> None:
    said = rollback.plan(world.environment)
    assert f"go back to {R1}" in said
    assert f"app-3: serves {R2}" in said
    assert all(not host.done and not host.notes for host in world.hosts.values())


def test_a_plan_of_a_recovery_says_which_and_why(world: World) -> None:
    world.hosts["app-3"] = serving("app-3", R1)
    said = recover.plan_text(*recover.plan(world.environment))
    assert f"All would serve {R2}: 2 of 3 hosts serve it, and no record says" in said


def test_a_release_is_marked_bad_wherever_it_is(world: World) -> None:
    del world.hosts["app-3"].releases[R1]
    assert closing.mark_bad(world.environment, R1, "it loses orders", ()) == [
        f"{name}: {R1} is marked bad: it loses orders" for name in ("app-1", "app-2")
    ]
    with pytest.raises(RefusedError, match="There is no release to go back to"):
        world.rollback()
    with pytest.raises(RefusedError, match="No app host has"):
        closing.mark_bad(world.environment, R3, "it loses orders", ())


def test_a_host_with_another_slipway_is_named(world: World) -> None:
    states = overview.read(world.environment)[0]
    states["app-1"].status["program"] = {"version": "1.0.0", "digest": zipped.digest()}
    states["app-2"].status["program"] = {"version": "1.0.0", "digest": "0123456789abcdef"}
    assert overview.busy(states["app-1"]) == []
    assert "app-2: its slipway is 0123456789abcdef" in overview.busy(states["app-2"])[0]
    unknown = refusal("app-2", Answer("list", 2, code="usage", message="unrecognized arguments: --brief."))
    assert "older than this fab: ansible-playbook" in str(unknown)
