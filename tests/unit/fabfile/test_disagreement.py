"""Fleets in disagreement, generated: who died in which step of which deploy, and who came back when.

Whatever happened, `fab recover` and the next `fab deploy` end with every host on the newest release that was agreed on,
never on an older one.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from fabfile.errors import FabError, UntidyError
from fabfile.hosts.connection import UnreachableError
from fabfile.hosts.state import HostState
from fabfile.rollout.agreement import choose
from tests.unit.fabfile.fake_fleet import R1, R2, R3, R4, R5, R6, FakeHost, KilledError, serving
from tests.unit.fabfile.test_rollouts import World

NAMES = ("app-1", "app-2", "app-3")
STEPS = (
    "record",
    "stage",
    "migrate",
    "start",
    "gate",
    "switch",
    "verify",
    "bake",
    "settle",
    "prune",
    "lease",
)
LATER = "20261127T100000Z-aaaaaa7"


class History:
    """A fleet, what was typed to it, and which releases it may rightly be on after that.

    agreed: what the newest rollout left the fleet with. A rollout that was killed when every host it had reached served
    its release leaves two answers that are right: that release, and the one before.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.agreed = {R1}
        self.lines: list[str] = []

    def deploy(self, release: str, dying: str = "", step: str = "", who: str = "controller") -> None:
        """dying: the host in whose step `step` the deploy, or that host, dies."""
        down = [host.name for host in self.world.hosts.values() if host.down]
        reached = [name for name in NAMES if name not in down]
        self._arm(dying, step, who)
        before = self.agreed
        try:
            self.world.deploy(release, without=down, bake=1.0)
            self.agreed, how = {release}, "ended well"
        except KilledError:
            everywhere = all(self.world.hosts[name].live == release for name in reached)
            told = any((self.world.hosts[name].note or {}).get("kind") == "deploy.end" for name in reached)
            # What the deploy made the hosts agree on first counts as what was agreed on before it.
            self.agreed, how = (
                ({release} if everywhere and told else before | ({release} if everywhere else set())),
                "killed",
            )
        except UntidyError as failure:
            # Or what the hosts were made to agree on before it.
            self.agreed, how = {str(failure).partition(" ")[0]}, str(failure).splitlines()[0]
        except FabError as failure:
            self.agreed, how = before, f"{type(failure).__name__}: {failure}".splitlines()[0]
        self.lines.append(
            f"deploy {release} without {down}, {who} dies at {step} on {dying or 'none'}: {how}"
        )
        for host in self.world.hosts.values():
            host.before_command = lambda each, words: None
            if host.lease:
                host.lease["state"] = "expired"

    def _arm(self, dying: str, step: str, who: str) -> None:
        gone: list[bool] = []

        def strike(host: FakeHost, words: list[str]) -> None:
            if gone and who == "controller":
                raise KilledError
            if host.name == dying and words[0] == step and not gone:
                gone.append(True)
                if who == "controller":
                    raise KilledError
                host.down = True
                raise UnreachableError(f"{host.name} was lost over SSH: it died.")

        for host in self.world.hosts.values():
            host.before_command = strike

    def come_back(self, *names: str) -> None:
        """What was down serves what it served; a deploy's instances beside that are gone."""
        for name in names or NAMES:
            host = self.world.hosts[name]
            if host.down:
                host.down, host.running = False, {host.live} if host.live else set()
                self.lines.append(f"{name} is back, on {host.live}")

    def states(self) -> dict[str, HostState]:
        states = {}
        for name, host in self.world.hosts.items():
            status, listed = host.answer(["status"]).result, host.answer(["list"]).result
            states[name] = HostState(name, status, {row["release"]: row for row in listed["releases"]})
        return states

    def ends_well(self, command: str) -> None:
        self.come_back()
        told = "\n".join(
            [*self.lines, *(f"{host.name}: {host.live}, {host.note}" for host in self.world.hosts.values())]
        )
        choice = choose(self.states())
        assert choice.release in self.agreed, f"{choice} of {self.agreed}\n{told}"
        if command == "recover":
            self.world.recover()
            wanted = choice.release
        else:
            self.world.deploy(LATER)
            wanted = LATER
        assert self.world.live == {wanted}, told
        for host in self.world.hosts.values():
            assert host.running <= {wanted}, told
            assert host.note is None or not host.note["kind"].endswith(".begin"), told
            assert host.lease is None or host.lease["state"] == "expired", told


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> History:
    """Three hosts on R1; the bundles of all releases are on this controller."""
    world = World([serving(name, R1) for name in NAMES], tmp_path, monkeypatch)
    for release in (R1, R2, R3, R4, R5, R6):
        world.bundle(release)
    return History(world)


BOTH = pytest.mark.parametrize("command", ["recover", "deploy"])


@BOTH
def test_a_host_that_died_in_a_deploy_two_releases_ago_comes_back(history: History, command: str) -> None:
    history.deploy(R2, dying="app-3", step="gate", who="host")
    history.deploy(R3)
    history.ends_well(command)
    assert history.agreed == {R3}


@BOTH
def test_the_first_host_died_in_a_deploy_and_comes_back(history: History, command: str) -> None:
    """It is asked first, and its newest note says that a deploy has begun."""
    history.deploy(R2, dying="app-1", step="migrate", who="host")
    history.deploy(R3)
    history.deploy(R4)
    history.ends_well(command)
    assert history.agreed == {R4}


@BOTH
def test_a_host_died_when_it_had_switched_and_the_others_went_back_and_on(
    history: History, command: str
) -> None:
    history.deploy(R2, dying="app-2", step="verify", who="host")
    history.deploy(R3)
    history.ends_well(command)
    assert history.agreed == {R3}


@BOTH
def test_the_controller_died_in_the_middle_of_the_switches(history: History, command: str) -> None:
    history.deploy(R2)
    history.deploy(R3, dying="app-2", step="switch")
    history.ends_well(command)
    assert history.agreed == {R2}


@BOTH
def test_two_died_in_two_deploys_and_come_back_one_after_the_other(history: History, command: str) -> None:
    history.deploy(R2, dying="app-3", step="bake", who="host")
    history.deploy(R3, dying="app-1", step="start", who="host")
    history.deploy(R4)
    history.come_back("app-1")
    history.deploy(R5, dying="app-2", step="settle")
    history.ends_well(command)


@BOTH
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("who", ["host", "controller"])
@pytest.mark.parametrize("dying", NAMES)
def test_one_death_in_each_step_and_one_good_deploy_after_it(
    history: History, command: str, step: str, who: str, dying: str
) -> None:
    history.deploy(R2, dying, step, who)
    history.deploy(R3)
    history.ends_well(command)


@BOTH
@pytest.mark.parametrize("seed", range(150))
def test_any_history(history: History, command: str, seed: int) -> None:
    chance = random.Random(seed)
    for release in (R2, R3, R4, R5, R6):
        up = [name for name in NAMES if not history.world.hosts[name].down]
        dies = len(up) > 1 and chance.random() < 0.6
        dying, who = (chance.choice(up), chance.choice(["host", "controller"])) if dies else ("", "")
        history.deploy(release, dying, chance.choice(STEPS), who)
        if chance.random() < 0.4:
            history.come_back(chance.choice(NAMES))
    history.ends_well(command)
