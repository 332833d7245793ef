"""`fab restart`: one host after the other, never the last that answers, and a failure leaves the others alone."""

from __future__ import annotations

from typing import Any

import pytest

from fabfile.errors import RefusedError, UnfinishedError
from fabfile.hosts.connection import UnreachableError
from fabfile.report import Report
from fabfile.rollout import restart
from tests.unit.fabfile.fake_fleet import R1, R2, FakeHost, serving
from tests.unit.fabfile.test_rollouts import World, world

__all__ = ["world"]


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr("fabfile.rollout.restart.time.sleep", slept.append)
    return slept


def restarted(world: World, **options: Any) -> Any:
    return restart.restart(world.environment, Report(), **options)


def orders(world: World) -> list[str]:
    """The hosts in the order in which they are restarted, from now on."""
    told: list[str] = []

    def noting(host: FakeHost, words: list[str]) -> None:
        if words[0] == "restart":
            told.append(host.name)

    for host in world.hosts.values():
        host.before_command = noting
    return told


def test_every_host_is_restarted_and_the_edge_has_time_to_ask_it_again(
    world: World, pauses: list[float]
) -> None:
    told = orders(world)
    assert restarted(world).release == R2
    assert told == ["app-1", "app-2", "app-3"]
    # nginx leaves a host alone for five seconds after it refused.
    assert pauses == [restart.RETURN_SECONDS] * 2
    assert restart.RETURN_SECONDS > 5
    assert all(host.lease is None for host in world.hosts.values())
    assert [(note["kind"], note["details"].get("result")) for note in world.hosts["app-2"].notes] == [
        ("restart.begin", None),
        ("restart.end", "ok"),
    ]


@pytest.mark.parametrize("drained", [("app-1", "app-2"), ("app-1", "app-2", "app-3")])
def test_the_last_host_that_answers_is_never_restarted(world: World, drained: tuple[str, ...]) -> None:
    told = orders(world)
    for name in drained:
        world.hosts[name].drained = {"since": "10:00"}
    with pytest.raises(RefusedError, match="nothing would be served while it restarts"):
        restarted(world)
    assert told == []


def test_the_only_host_is_told_of_the_way_that_loses_nothing(world: World) -> None:
    told = orders(world)
    with pytest.raises(RefusedError, match="fab deploy --ref COMMIT"):
        restarted(world, without=["app-2", "app-3"])
    assert told == []


def test_hosts_that_disagree_are_not_restarted(world: World) -> None:
    world.hosts["app-3"] = serving("app-3", R1)
    with pytest.raises(RefusedError, match="fab recover"):
        restarted(world)


def test_one_that_does_not_come_back_leaves_the_others_alone(world: World) -> None:
    world.hosts["app-2"].failing = {"restart": "It does not serve again; it stays drained."}
    told = orders(world)
    with pytest.raises(UnfinishedError) as failed:
        restarted(world)
    assert told == ["app-1", "app-2"]
    assert "restarted before this: app-1; not yet: app-3" in str(failed.value)
    assert "fab undrain --host app-2 --env lab" in str(failed.value)
    assert world.hosts["app-1"].notes[-1]["details"]["result"] == "failed"


def test_a_host_that_is_lost_meanwhile_is_named(world: World) -> None:
    def lost(host: FakeHost, words: list[str]) -> None:
        if words[0] == "restart":
            raise UnreachableError("app-1 was lost over SSH")

    world.hosts["app-1"].before_command = lost
    with pytest.raises(UnfinishedError, match="Look whether app-1 is drained"):
        restarted(world)
