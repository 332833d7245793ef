"""A rollout that fails, is overtaken, or is interrupted ends in one state, and says which."""

from __future__ import annotations

import json
import os
import signal
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from fabfile.bundle.archive import Bundle
from fabfile.errors import FabError, FailedError, FencedError, LockedError, UnfinishedError
from fabfile.hosts import fleet
from fabfile.hosts.answers import Answer
from fabfile.migration import applying
from fabfile.migration.choosing import Wish
from fabfile.report import Report
from fabfile.rollout import deploy, preflight, recover, rollback
from tests.unit.fabfile.fake_fleet import R1, R2, R3, R4, FakeHost, FakeRemote, environment_of, serving

Rollout = Callable[[], Any]


class World:
    """Hosts, and what is typed to them."""

    def __init__(self, hosts: list[FakeHost], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hosts, self.folder = {host.name: host for host in hosts}, folder
        self.environment = environment_of(hosts, folder)
        self.revisions = [{"id": "1", "kind": "expand"}]
        monkeypatch.setattr(fleet, "Remote", lambda host: FakeRemote(self.hosts[host.name]))
        monkeypatch.setattr(recover, "BUNDLES", folder)

    def bundle(self, release: str) -> Bundle:
        path = self.folder / f"shop-{release}.tar.gz"
        manifest = json.dumps({"release": release, "files": {}, "schema_revisions": self.revisions})
        with tarfile.open(path, "w:gz") as archive:
            member = tarfile.TarInfo("manifest.json")
            member.size = len(manifest)
            archive.addfile(member, BytesIO(manifest.encode()))
        return Bundle(path, "0" * 64, release, "shop")

    def deploy(self, release: str, **options: Any) -> Any:
        return deploy.deploy(self.environment, Report(), self.bundle(release), deploy.Options(**options))

    def rollback(self, **options: Any) -> Any:
        return rollback.rollback(self.environment, Report(), **options)

    def recover(self, **options: Any) -> Any:
        return recover.recover(self.environment, Report(), **options)

    @property
    def live(self) -> set[str | None]:
        return {host.live for host in self.hosts.values()}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Three hosts that serve R2, after R1."""
    return World([serving(name, R2, R1) for name in ("app-1", "app-2", "app-3")], tmp_path, monkeypatch)


def when(command: str, act: Callable[[FakeHost], None]) -> Callable[[FakeHost, list[str]], None]:
    """Once, before a host performs a command."""
    left = [1]

    def before(host: FakeHost, words: list[str]) -> None:
        if words[0] == command and left:
            left.pop()
            act(host)

    return before


def test_a_deploy_and_a_rollback_move_every_host(world: World) -> None:
    assert world.deploy(R3).previous == {"app-1": R2, "app-2": R2, "app-3": R2}
    assert world.live == {R3}
    world.rollback()
    assert world.live == {R2}
    world.rollback()
    assert world.live == {R1}
    assert all(host.lease is None for host in world.hosts.values())


def test_a_rollback_goes_to_what_was_live_before_whatever_it_is_called(world: World) -> None:
    """A bundle of a clock that was ahead, or one built before a hotfix and deployed after it."""
    world.deploy(R4)
    world.deploy(R3)
    world.rollback()
    assert world.live == {R4}


def take_over(host: FakeHost) -> None:
    """Another deploy has come to this host."""
    host.fence += 10


@pytest.mark.parametrize("step", ["start", "gate", "switch", "verify", "bake", "settle"])
def test_an_overtaken_deploy_changes_nothing_more_on_any_host(world: World, step: str) -> None:
    taken = world.hosts["app-2"]
    for host in world.hosts.values():
        host.before_command = lambda each, words: None
    taken.before_command = when(step, take_over)
    with pytest.raises(FencedError, match="taken over") as overtaken:
        world.deploy(R3, bake=1.0)
    assert overtaken.value.exit_code == 7
    assert "changes nothing more" in str(overtaken.value) or "goes no further" in str(overtaken.value)
    for name in ("app-1", "app-3"):
        done = world.hosts[name].done
        assert not [
            each for each in done if each.startswith(("stop", "mark-bad", f"switch {R2}", f"start {R2}"))
        ], done


def test_a_deploy_that_is_overtaken_while_it_goes_back_stops_there(world: World) -> None:
    world.hosts["app-1"].failing = {"verify": "It does not serve."}
    world.hosts["app-2"].before_command = lambda host, words: (
        take_over(host) if words[:2] == ["start", R2] else None
    )
    with pytest.raises(FencedError, match="It had failed before that: app-1: It does not serve"):
        world.deploy(R3)
    assert not [
        each for host in world.hosts.values() for each in host.done if each.startswith(("stop", "mark-bad"))
    ]


def test_the_way_back_leaves_what_somebody_else_switched_meanwhile(world: World) -> None:
    """On the console, without a fence."""

    def somebody_switches(host: FakeHost, words: list[str]) -> None:
        if words[:2] == ["start", R2]:
            host.live = R1

    world.hosts["app-1"].failing = {"bake": "It ended."}
    world.hosts["app-2"].before_command = somebody_switches
    with pytest.raises(UnfinishedError, match="app-2: 20261121T100000Z-aaaaaa1 is live, not 20261123"):
        world.deploy(R3, bake=1.0)
    assert world.hosts["app-2"].live == R1


def test_a_host_that_served_nothing_before_is_not_said_to_have_gone_back(world: World) -> None:
    world.hosts["app-3"] = FakeHost("app-3", None)
    world.hosts["app-1"].failing = {"bake": "It ended."}
    world.hosts["app-3"].releases = {R2: {}, R3: {}}
    with pytest.raises(UnfinishedError, match="app-3 served nothing before") as failed:
        rollout_without_convergence(world)
    assert "still has the traffic there" in str(failed.value)
    assert "Every host went back" not in str(failed.value)


def rollout_without_convergence(world: World) -> None:
    """A deploy makes the hosts agree first; a rollback to a named release does not."""
    from fabfile.rollout.path import Rollout as Path_
    from fabfile.traffic.probe import Probe
    from fabfile.turn.lease import Claim, holding

    for host in world.hosts.values():
        host.releases.setdefault(R3, {})
    with fleet.Fleet(world.environment) as reached, holding(reached, Claim("lab"), 0) as (lease, states):
        previous = {name: found.live for name, found in states.items()}
        probe = Probe(world.environment.public)
        rollout = Path_(reached, lease, Report(), world.environment.policy, R3, previous, probe)
        rollout.prove()
        rollout.move([reached.remotes], bake=1.0)


def test_an_unknown_error_on_one_host_does_not_keep_the_others_from_going_back(world: World) -> None:
    def breaks(host: FakeHost, words: list[str]) -> None:
        if words[0] == "bake":
            raise KeyError("an answer of another version")

    world.hosts["app-2"].before_command = breaks
    with pytest.raises(FailedError, match="KeyError: 'an answer of another version'") as failed:
        world.deploy(R3, bake=1.0)
    assert "Every host went back" in str(failed.value)
    assert world.live == {R2}


def press(host: FakeHost) -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("times", [1, 3], ids=["once", "again and again"])
@pytest.mark.parametrize("step", ["record", "start", "gate", "switch", "verify", "bake"])
def test_ctrl_c_ends_a_deploy_in_one_state_and_with_a_sentence(world: World, step: str, times: int) -> None:
    def interrupted(host: FakeHost, words: list[str]) -> None:
        if words[0] == step or (times > 1 and words[0] in ("stop", "switch", "start")):
            press(host)

    world.hosts["app-1"].before_command = interrupted
    with pytest.raises(FabError, match="Interrupted by Ctrl-C") as ended:
        world.deploy(R3, bake=1.0)
    assert ended.value.exit_code == 3
    assert world.live == {R2}
    for host in world.hosts.values():
        assert host.running <= {R2}, f"{host.name} still runs what was put away"
        assert host.lease is None
    if step != "record":
        assert {host.note and host.note["kind"] for host in world.hosts.values()} == {"deploy.end"}


def test_ctrl_c_when_all_is_done_but_the_tidying_lets_it_end(world: World) -> None:
    world.hosts["app-1"].before_command = when("settle", press)
    world.deploy(R3)
    assert world.live == {R3}
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_deploy_that_did_not_reach_the_first_host_is_seen_by_the_next(world: World) -> None:
    """Somebody deploys --without app-1, and has the lease on app-2."""
    world.hosts["app-2"].lease = {
        "state": "held",
        "nonce": "x",
        "fence": 4,
        "holder": "ada",
        "process": "1@ci",
    }
    with pytest.raises(LockedError, match="On app-2: ada is deploying to lab"):
        world.rollback()
    assert world.hosts["app-1"].lease is None
    assert world.live == {R2}


def test_the_fence_is_above_what_any_host_has_seen(world: World) -> None:
    world.hosts["app-3"].fence = 41
    world.rollback()
    assert {host.fence for host in world.hosts.values()} == {42}
    assert world.live == {R1}


@pytest.mark.parametrize("task", ["deploy", "rollback"])
def test_a_switch_is_never_waited_for_longer_than_somebody_waits_for_it(world: World, task: str) -> None:
    seen: list[tuple[list[list[str]], float]] = []
    original = FakeRemote.perform

    def noting(self: FakeRemote, *commands: list[str], seconds: float = 60.0) -> Any:
        seen.append(([list(each) for each in commands], seconds))
        return original(self, *commands, seconds=seconds)

    FakeRemote.perform = noting  # type: ignore[method-assign]
    try:
        world.deploy(R3) if task == "deploy" else world.rollback()
    finally:
        FakeRemote.perform = original  # type: ignore[method-assign]
    for commands, patience in seen:
        waits = [
            float(word.partition("=")[2])
            for words in commands
            for word in words
            if word.startswith("--wait=")
        ]
        assert sum(waits[:2]) <= patience, (commands, patience)
        for words in commands:
            assert words[0] != "verify" or any(word.startswith("--wait=") for word in words)
            if words[0] == "switch":
                assert sum(waits) <= patience / 2


def long_migration(host: FakeHost, seen: list[list[str]]) -> None:
    """It runs for longer than anybody watches."""

    def unheard(given: list[str], options: dict[str, str], number: int) -> Answer:
        seen.append([f"{name}={value}" for name, value in options.items()])
        return Answer("migrate", 3, code="migration-timeout", message="It still runs; it goes on.")

    host._migrate = unheard  # type: ignore[assignment, method-assign]


def pending(world: World) -> None:
    """R2's manifest brings a revision that the database does not have."""
    chain = [{"id": "1", "kind": "expand"}, {"id": "2", "kind": "expand", "title": "An index"}]
    for host in world.hosts.values():
        host.releases[R2] |= {"schema_revisions": chain, "schema_head": "2"}


def test_before_a_step_that_takes_away_the_moment_is_named_and_told(world: World) -> None:
    chain = [{"id": "1", "kind": "expand"}, {"id": "2", "kind": "contract", "title": "No column"}]
    for host in world.hosts.values():
        for release in host.releases.values():
            release |= {"schema_revisions": chain, "schema_head": "2"}
    named: list[tuple[str, str]] = []

    def point(_: object, name: str, reason: str) -> str:
        named.append((name, reason))
        return f"The restore point {name} is set."

    wish = Wish(backup=False, contract=True)
    done = applying.migrate(world.environment, Report(), wish, restore_point=point)
    ((name, reason),) = named
    assert name.startswith("before-2-")
    assert reason == f"before 2 of {R2}"
    assert done.backup == f"The restore point {name} is set."


def test_a_migration_is_watched_for_as_long_as_is_asked_and_goes_on(world: World) -> None:
    seen: list[list[str]] = []
    pending(world)
    long_migration(world.hosts["app-1"], seen)
    wish = Wish(backup=False, timeout=7200.0)
    with pytest.raises(UnfinishedError, match="it goes on in its unit on app-1") as ended:
        applying.migrate(world.environment, Report(), wish)
    assert "timeout=7200" in seen[0]
    assert "fab migrate --env lab" in str(ended.value)
    assert world.hosts["app-1"].lease is None


def test_a_deploy_whose_migration_nobody_saw_end_says_that_it_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "before_migrating", lambda _: preflight.Found())
    seen: list[list[str]] = []
    long_migration(world.hosts["app-1"], seen)
    world.revisions.append({"id": "2", "kind": "expand", "title": "An index"})
    with pytest.raises(
        FailedError, match="goes on in its unit on app-1, each revision whole or not at all"
    ) as failed:
        world.deploy(R3)
    assert "timeout=3600" in seen[0]
    assert "No traffic was moved" in str(failed.value)
    assert world.live == {R2}
