"""`fab patch`: one host after the other, drained, with gates; what customers would notice comes in a window alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from fabfile.errors import InterruptError, LockedError, RefusedError, UnfinishedError
from fabfile.report import Report
from fabfile.upkeep import overview
from fabfile.upkeep.patching import asking, patch, plan, waiting, walk
from tests.unit.fabfile.fake_fleet import R1, R2, FakeHost, KilledError, serving
from tests.unit.fabfile.test_rollouts import World, world

__all__ = ["world"]

GROUPS = {
    "logs": ["logs-1"],
    "app": ["app-1", "app-2", "app-3"],
    "edge": ["edge-1"],
    "db": ["db-1"],
}
SSL = {"name": "libssl3", "before": "3.0.2-1", "after": "3.0.2-2"}
KERNEL = {"name": "linux-image-generic", "before": "5.15.0.1", "after": "5.15.0.2"}
DATABASE = {"name": "postgresql-14", "before": "14.22-1", "after": "14.23-1"}


@dataclass
class Root:
    """The hosts as Ansible reaches them: what waits on each, and what is done to it.

    done: (host, packages, whether it was drained). before_part: called first; what it raises is what happens.
    """

    world: World
    waits: dict[str, dict[str, Any]]
    done: list[tuple[str, tuple[str, ...], bool]] = field(default_factory=list)
    looked: list[str] = field(default_factory=list)
    complaints: dict[str, list[str]] = field(default_factory=dict)
    spoils: dict[str, list[str]] = field(default_factory=dict)
    fails: dict[str, tuple[str, str]] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    before_part: Callable[[str], None] = lambda host: None

    def ask(self, name: str, what: str, hosts: Sequence[str], given: Any = None) -> asking.Answers:
        answers = {host: self._answer(what, host, given or {}) for host in hosts if host not in self.away}
        if not answers:
            raise asking.HostError(f"{', '.join(hosts)}: came to no answer")
        return answers

    def _answer(self, what: str, host: str, given: dict[str, Any]) -> dict[str, Any]:
        failed, at, rebooted = "", "", False
        if what == "look":
            self.looked.append(host)
        else:
            self.before_part(host)
            at, failed = self.fails.get(host, ("", ""))
            if not failed:
                rebooted = self._part(host, given)
        return {
            "failed": failed,
            "at": at,
            "seen": self.waits[host],
            "restarted": [],
            "rebooted": rebooted,
            "complaints": {"units": self.complaints.get(host, [])},
        }

    def _part(self, host: str, given: dict[str, Any]) -> bool:
        fake = self.world.hosts.get(host)
        self.done.append((host, tuple(given["patch_packages"]), bool(fake and fake.drained)))
        waits = self.waits[host]
        for kind in ("updates", "apart"):
            waits[kind] = [row for row in waits.get(kind, ()) if row["name"] not in given["patch_packages"]]
        self.complaints[host] = self.complaints.get(host, []) + self.spoils.get(host, [])
        waits["unfinished"] = []
        if given["patch_window"]:
            waits["stale"] = {}
        rebooted = bool(waits.get("reboot")) and given["patch_reboots"]
        if rebooted:
            waits["reboot"], waits["stale"] = [], {}
            if fake:
                fake.drained = None
        return rebooted

    @property
    def order(self) -> list[str]:
        return [host for host, *_ in self.done]


@pytest.fixture
def root(world: World, monkeypatch: pytest.MonkeyPatch) -> Root:
    """Every host has an update of a library waiting."""
    names = [name for members in GROUPS.values() for name in members]
    found = Root(world, {name: {"updates": [SSL], "apart": [], "reboot": [], "stale": {}} for name in names})
    monkeypatch.setattr(asking, "ask", found.ask)
    monkeypatch.setattr(asking, "require_vault", lambda name: None)
    monkeypatch.setattr(plan, "places", lambda environment: waiting.places({**GROUPS, "all": names}))
    monkeypatch.setattr("fabfile.upkeep.patching.walk.time.sleep", lambda _seconds: None)
    monkeypatch.setattr(walk, "READY_SECONDS", 0.0)
    return found


def patched(world: World, **options: Any) -> patch.Patched:
    return patch.patch(world.environment, Report(), **options)


def drained(world: World) -> list[str]:
    return [name for name, host in world.hosts.items() if host.drained]


def test_hosts_are_patched_one_after_the_other_and_an_app_host_is_drained_meanwhile(
    root: Root, world: World
) -> None:
    done = patched(world)
    assert root.done == [
        ("logs-1", ("libssl3",), False),
        ("app-1", ("libssl3",), True),
        ("app-2", ("libssl3",), True),
        ("app-3", ("libssl3",), True),
        ("edge-1", ("libssl3",), False),
        ("db-1", ("libssl3",), False),
    ]
    assert (done.hosts, done.left, drained(world)) == (root.order, [], [])
    assert all(host.lease is None for host in world.hosts.values())
    kinds = [(note["kind"], note["details"].get("result")) for note in world.hosts["app-2"].notes]
    assert kinds == [("patch.begin", None), ("patch.end", "ok")]


def test_a_second_run_has_nothing_to_do(root: Root, world: World) -> None:
    patched(world)
    root.done.clear()
    assert patched(world).hosts == []
    assert root.done == []


def test_a_plan_says_what_where_and_how_long_and_does_nothing(root: Root, world: World) -> None:
    root.waits["app-2"] |= {"updates": [SSL, KERNEL], "reboot": ["linux-image-5.15.0-2"], "held": ["libc6"]}
    root.waits["db-1"]["apart"] = [DATABASE]
    root.waits["edge-1"]["reboot"] = ["linux-image-5.15.0-2"]
    said = patch.foreseen(world.environment).text()
    assert "lab: 6 of 6 hosts, one after the other, about" in said
    assert "app-2: drained; libssl3 3.0.2-1 -> 3.0.2-2, linux-image-generic 5.15.0.1 -> 5.15.0.2" in said
    assert "a reboot for linux-image-5.15.0-2" in said
    assert "db-1: PostgreSQL restarts once, postgresql-14 14.22-1 -> 14.23-1" in said
    assert "edge-1: a reboot for linux-image-5.15.0-2: customers come in by it" in said
    assert "app-2: held or kept back: libc6" in said
    assert root.done == []
    assert all(not host.notes and not host.done for host in world.hosts.values())


def test_what_customers_would_notice_waits_for_a_window(root: Root, world: World) -> None:
    root.waits["db-1"] |= {"apart": [DATABASE], "reboot": ["linux-image-5.15.0-2"]}
    done = patched(world)
    assert [packages for host, packages, _ in root.done if host == "db-1"] == [("libssl3",)]
    assert done.rebooted == []
    assert len(done.left) == 2
    assert "PostgreSQL restarts once" in done.left[0]


def test_a_window_comes_last_is_announced_and_restarts_the_database_once(root: Root, world: World) -> None:
    root.waits["db-1"] |= {"apart": [DATABASE], "stale": {"database": ["postgresql@14-main.service"]}}
    done = patched(world, window=True)
    assert root.done[-1] == ("db-1", ("postgresql-14",), False)
    assert [host for host, packages, _ in root.done if "postgresql-14" in packages] == ["db-1"]
    assert done.left == []
    told = [note for note in world.hosts["app-1"].notes if note["kind"] == "patch.window"]
    assert [note["details"]["host"] for note in told] == ["db-1"]


def test_a_database_that_runs_a_replaced_library_is_restarted_in_a_window(root: Root, world: World) -> None:
    root.waits["db-1"] |= {
        "stale": {"database": ["postgresql@14-main.service"]},
        "files": ["/usr/lib/x86_64-linux-gnu/libssl.so.3"],
    }
    assert patched(world).left == ["db-1: PostgreSQL restarts once, for libssl.so.3"]
    assert patched(world, window=True).left == []
    assert root.done[-1] == ("db-1", (), False)


def test_the_edges_nginx_changes_its_program_in_a_window_and_an_app_hosts_while_it_is_drained(
    root: Root, world: World
) -> None:
    nginx = {
        "stale": {"nginx": ["nginx.service"]},
        "files": ["/usr/lib/x86_64-linux-gnu/libssl.so.3"],
        "updates": [],
    }
    root.waits["edge-1"] |= nginx
    root.waits["app-1"] |= nginx
    done = patched(world)
    assert "edge-1" not in root.order
    assert ("app-1", (), True) in root.done
    said = "nginx changes its program, for libssl.so.3: connections that are kept open close"
    assert done.left == [f"edge-1: {said}"]
    assert patched(world, window=True).left == []
    assert root.done[-1] == ("edge-1", (), False)


def test_a_release_that_runs_a_replaced_library_is_started_anew_while_it_is_drained(
    root: Root, world: World
) -> None:
    root.waits["app-2"]["stale"] = {"release": [f"shop@{R2}.service"]}
    patched(world)
    assert [words.split()[0] for words in world.hosts["app-2"].done] == ["drain", "restart", "undrain"]
    assert [words.split()[0] for words in world.hosts["app-1"].done] == ["drain", "undrain"]


def test_a_drained_host_that_asks_for_it_is_rebooted_and_comes_back_into_the_traffic(
    root: Root, world: World
) -> None:
    root.waits["app-1"]["reboot"] = ["linux-image-5.15.0-2"]
    assert patched(world).rebooted == ["app-1"]
    assert drained(world) == []


@pytest.mark.parametrize("step", ["drain", "undrain", "part", "record"])
def test_a_run_that_is_killed_at_any_step_is_finished_by_the_next(
    root: Root, world: World, step: str
) -> None:
    left = [1]

    def killing(host: FakeHost, words: list[str]) -> None:
        ending = words[0] != "record" or words[1] == "patch.end"
        if words[0] == step and ending and host.name == "app-2" and left:
            left.pop()
            raise KilledError

    def killing_part(name: str) -> None:
        if step == "part" and name == "app-2" and left:
            left.pop()
            raise KilledError

    world.hosts["app-2"].before_command, root.before_part = killing, killing_part
    with pytest.raises(KilledError):
        patched(world)
    for host in world.hosts.values():
        host.lease = None
    patched(world)
    assert drained(world) == []
    assert sorted(root.order) == sorted(root.waits), "each host's packages are installed once"


def test_a_host_that_boots_since_a_run_was_killed_is_waited_for(
    root: Root, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "READY_SECONDS", 60.0)
    booting = world.hosts["app-1"]
    booting.ready, asked = False, []

    def boot(host: FakeHost, words: list[str]) -> None:
        asked.extend(words[:1] if words[0] == "status" else [])
        host.ready = len(asked) > 3

    booting.before_command = boot
    assert patched(world).hosts == list(root.waits)


def test_a_host_whose_release_does_not_become_ready_stops_it_before_anything_is_done(
    root: Root, world: World
) -> None:
    world.hosts["app-2"].ready = False
    with pytest.raises(RefusedError, match=r"app-2: .* is live and not ready 0 s later") as refused:
        patched(world)
    assert "Nothing was changed. Type: fab status --env lab" in str(refused.value)
    assert (root.looked, root.done) == ([], [])


def test_a_host_that_does_not_come_back_stops_the_rest_and_the_next_run_goes_on(
    root: Root, world: World
) -> None:
    root.fails["app-2"] = ("Reboot, and come in again", "Timed out waiting for last boot time check")
    with pytest.raises(UnfinishedError) as failed:
        patched(world)
    said = str(failed.value)
    assert "app-2 was asked to reboot, and did not come back" in said
    assert "Patched before this: logs-1, app-1; in the middle: app-2; not yet: app-3, edge-1, db-1." in said
    assert "fab undrain --host app-2 --env lab" in said
    assert "fab patch --env lab goes on from there" in said
    assert drained(world) == ["app-2"]
    assert world.hosts["app-1"].notes[-1]["details"]["result"] == "failed"
    root.fails.clear()
    assert patched(world).hosts == ["app-2", "app-3", "edge-1", "db-1"]
    assert drained(world) == []


def test_what_is_wrong_after_an_update_and_was_not_before_stops_the_rest(root: Root, world: World) -> None:
    root.fails["logs-1"] = ("Look at the host", "")
    root.fails["logs-1"] = ("Look at the host", "retries are over")
    root.complaints["logs-1"] = []

    def spoiling(name: str) -> None:
        root.complaints["logs-1"] = ["rsyslog.service has failed"]

    root.before_part = spoiling
    with pytest.raises(
        UnfinishedError, match=r"was well before the update, and is not after it: rsyslog\.service has"
    ):
        patched(world)
    assert root.order == []


def test_a_host_that_is_not_well_is_not_patched_at_all(root: Root, world: World) -> None:
    root.complaints["db-1"] = ["/ is full to 93 %: make room below 80 %"]
    with pytest.raises(RefusedError, match="db-1: / is full to 93 %"):
        patched(world)
    assert root.done == []
    patched(world, without=["db-1"])
    assert "db-1" not in root.order


def test_a_host_out_of_ansibles_reach_stops_it_before_anything_is_done(root: Root, world: World) -> None:
    root.away = {"edge-1"}
    with pytest.raises(RefusedError, match="edge-1 cannot be reached as root"):
        patched(world)
    assert root.done == []


def test_what_a_host_cannot_say_stops_it_before_anything_is_done(root: Root, world: World) -> None:
    answer = {
        "failed": "apt does not say what waits: E: Malformed line. Nothing was changed.",
        "at": "See what waits",
    }
    given = root.ask

    def asking_one(name: str, what: str, hosts: Sequence[str], more: Any = None) -> asking.Answers:
        answers = given(name, what, hosts, more)
        return {host: {**said, **answer} if host == "app-1" else said for host, said in answers.items()}

    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(asking, "ask", asking_one)
        with pytest.raises(RefusedError, match="app-1: apt does not say what waits"):
            patched(world)
    assert root.done == []


def test_nobody_patches_while_somebody_deploys(root: Root, world: World) -> None:
    world.hosts["app-1"].lease = {"nonce": "other", "state": "held", "fence": 7, "idle": 0.0, "holder": "ada"}
    with pytest.raises(LockedError, match="ada is deploying"):
        patched(world)
    assert (root.looked, root.done) == ([], [])


def test_a_deploy_that_began_on_the_others_while_the_first_was_away_stops_it(
    root: Root, world: World
) -> None:
    def deploying(name: str) -> None:
        if name == "app-1":
            world.hosts["app-2"].lease = {"state": "held", "holder": "ada", "fence": 9, "idle": 0.0}

    root.before_part = deploying
    with pytest.raises(UnfinishedError, match="ada is deploying") as failed:
        patched(world)
    assert root.order == ["logs-1", "app-1"]
    assert "Patched before this: logs-1, app-1" in str(failed.value)


def test_a_host_that_a_person_drained_is_left_to_them(root: Root, world: World) -> None:
    world.hosts["app-2"].drained = {"since": "09:00", "why": None}
    with pytest.raises(RefusedError, match="app-2 was drained by somebody since 09:00"):
        patched(world)
    assert root.done == []


def test_the_last_host_that_answers_is_never_drained(root: Root, world: World) -> None:
    def others_fail(name: str) -> None:
        if name == "logs-1":
            for other in ("app-2", "app-3"):
                world.hosts[other].ready = False

    root.before_part = others_fail
    with pytest.raises(UnfinishedError, match="No other app host than app-1 answers now"):
        patched(world)
    assert drained(world) == []


def test_hosts_that_disagree_are_not_patched(root: Root, world: World) -> None:
    world.hosts["app-3"] = serving("app-3", R1)
    with pytest.raises(RefusedError, match="fab recover"):
        patched(world)


def test_an_interruption_is_obeyed_between_two_hosts(
    root: Root, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def obey() -> None:
        if "app-1" in root.order:
            raise InterruptError("Interrupted by Ctrl-C.")

    monkeypatch.setattr("fabfile.upkeep.patching.walk.interruption.obey", obey)
    with pytest.raises(InterruptError, match="Patched before it: logs-1, app-1"):
        patched(world)
    assert (root.order, drained(world)) == (["logs-1", "app-1"], [])


def test_the_only_app_host_is_patched_in_place_and_its_release_is_left_to_a_deploy() -> None:
    (place,) = waiting.places({group: ["shop-1"] for group in ("logs", "app", "edge", "db")})
    seen = {"updates": [SSL], "reboot": ["linux-image"], "stale": {"release": ["shop@1.service"]}}
    host = waiting.of(place, {"seen": seen})
    assert (place.drains, host.begins) == (False, True)
    assert "it is the only app host; customers come in by it; the database is on it" in host.windows[0]
    assert "fab deploy --ref COMMIT" in host.left[0]


def test_a_host_that_another_service_shares_is_not_rebooted_outside_a_window() -> None:
    place = next(each for each in waiting.places(GROUPS) if each.name == "app-1")
    host = waiting.of(place, {"seen": {"reboot": ["linux-image"], "services": ["stall"]}})
    assert not host.begins
    assert host.windows == ["a reboot for linux-image: stall has it, too"]


def test_what_waits_is_seen_in_the_status(world: World) -> None:
    world.hosts["app-1"].updates = {"security": 3, "reboot": True}
    world.hosts["app-2"].updates = {"security": 0, "reboot": False}
    world.hosts["app-3"].drained = {"since": "10:00", "why": "patch"}
    states = overview.look(world.environment).states
    said = [line for found in states.values() for line in overview.busy(found)]
    assert said == [
        "app-1: 3 security updates and a reboot wait: fab patch --plan",
        "app-3: a patch drained it at 10:00; fab patch goes on from there",
    ]
