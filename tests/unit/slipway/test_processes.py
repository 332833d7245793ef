"""A release's further processes and timers: handed over after the traffic, given back with it, never two at once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from slipway.errors import RefusedError, StepError
from slipway.releases import declaration_here
from slipway.releases.declaration import Declaration, Timer
from slipway.traffic import further

from tests.unit.conftest import Slipway
from tests.unit.slipway import support
from tests.unit.slipway.slipway_fakes import alive
from tests.unit.slipway.support import OTHER, RELEASE, Host
from tests.unit.slipway.test_activate import live
from tests.unit.slipway.test_recovery import wait_for

SERVICE = {
    "application": "shop.main:application",
    "processes": {"worker": "shop-worker --queue mail"},
    "timers": {"purge": {"command": "shop purge", "calendar": "hourly"}},
}
TIMER = "etc/systemd/system/shop-task@purge.timer"
BOOT = "etc/systemd/system/timers.target.wants/shop-task@purge.timer"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(further, "PROOF_SECONDS", 0.3)
    with support.quick_systemd():
        yield


def service(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**SERVICE, **changes}.items() if value}


def workers(host: Host) -> set[str]:
    """The processes that run."""
    states = support.unit_states(host.root).items()
    units = {name for name, state in states if name.startswith("shop-process@") and alive(state.get("pid"))}
    return {name.removeprefix("shop-process@").removesuffix(".service") for name in units}


def at_boot(host: Host) -> set[str]:
    folder = host.root / "etc/systemd/system/multi-user.target.wants"
    return {path.name for path in folder.glob("shop-process@*")}


def waiting(host: Host) -> set[str]:
    states = support.unit_states(host.root).items()
    return {name for name, state in states if name.startswith("shop-task@") and state.get("waiting")}


@pytest.fixture
def two(host: Host, slipway: Slipway) -> Iterator[Host]:
    """RELEASE is live with its worker and its timer; OTHER, which declares the same, runs and is ready."""
    for release in (RELEASE, OTHER):
        support.install_release(host, release, service=SERVICE)
    assert slipway("activate", RELEASE).code == 0
    for step in ("start", "gate"):
        assert slipway(step, OTHER).code == 0
    yield host
    assert not (host.root.parent / "fake/two-at-once").exists()


def test_the_first_release_brings_its_processes_and_timers(two: Host, slipway: Slipway) -> None:
    assert workers(two) == {f"{RELEASE}:worker"}
    assert at_boot(two) == {f"shop-process@{RELEASE}:worker.service"}
    assert "OnCalendar=hourly\n" in (two.root / TIMER).read_text()
    assert os.readlink(two.root / BOOT) == f"/{TIMER}"
    assert waiting(two) == {"shop-task@purge.timer"}

    said = slipway("status").result
    assert [(each["release"], each["name"], each["unit"]["active"]) for each in said["processes"]] == [
        (RELEASE, "worker", "active")
    ]
    assert said["timers"] == ["purge"]


def test_a_release_that_proves_itself_runs_no_process_beside_the_live_ones(two: Host) -> None:
    assert workers(two) == {f"{RELEASE}:worker"}


def test_a_switch_ends_the_old_worker_before_the_new_one_starts_and_a_warm_release_keeps_none(
    two: Host, slipway: Slipway
) -> None:
    assert slipway("switch", OTHER).code == 0
    assert workers(two) == {f"{OTHER}:worker"}
    assert slipway("settle", OTHER).result["warm"] == RELEASE
    assert workers(two) == {f"{OTHER}:worker"}
    assert at_boot(two) == {f"shop-process@{OTHER}:worker.service"}
    assert slipway("switch", OTHER).json["changed"] is False
    steps = [json.loads(line)["step"] for line in two.journal.read_text().splitlines()]
    assert steps.count("switch.hand-over") == 2


def test_a_rollback_brings_back_the_old_releases_worker(two: Host, slipway: Slipway) -> None:
    for words in (["switch", OTHER], ["settle", OTHER], ["start", RELEASE], ["switch", RELEASE]):
        assert slipway(*words).code == 0

    assert workers(two) == {f"{RELEASE}:worker"}
    assert slipway("verify", RELEASE).code == 0


def test_a_release_whose_worker_does_not_stay_up_gives_everything_back(two: Host, slipway: Slipway) -> None:
    (two.release(OTHER) / "process").write_text("crash")

    answer = slipway("switch", OTHER)

    assert (answer.code, answer.error) == (3, "process-failed")
    assert f"The process worker of release {OTHER} does not stay up" in answer.message
    assert f"are those of {RELEASE} again" in answer.message
    assert "no queue of that name" in answer.message
    assert live(two) == f"releases/{RELEASE}"
    assert workers(two) == {f"{RELEASE}:worker"}
    assert at_boot(two) == {f"shop-process@{RELEASE}:worker.service"}
    assert [row["release"] for row in slipway("list").result["releases"] if row["bad"]] == [OTHER]


def test_when_the_old_worker_does_not_come_back_either_that_is_said_and_the_release_is_not_blamed(
    two: Host, slipway: Slipway
) -> None:
    for release in (RELEASE, OTHER):
        (two.release(release) / "process").write_text("crash")

    answer = slipway("switch", OTHER)

    assert (answer.code, answer.error) == (3, "undo-failed")
    assert "Type: slipway recover" in answer.message
    assert live(two) == f"releases/{RELEASE}"
    assert not any(row["bad"] for row in slipway("list").result["releases"])
    (two.release(RELEASE) / "process").unlink()
    assert slipway("recover").code == 0
    assert workers(two) == {f"{RELEASE}:worker"}


def test_a_release_whose_worker_dies_while_it_is_watched_does_not_keep_the_traffic(
    two: Host, slipway: Slipway
) -> None:
    assert slipway("switch", OTHER).code == 0
    support.kill(two, f"shop-process@{OTHER}:worker.service")
    wait_for(lambda: not workers(two))

    answer = slipway("bake", OTHER, "--seconds", "5")
    assert (answer.code, answer.error) == (3, "bake-failed")
    assert f"shop-process@{OTHER}:worker.service ended" in answer.message
    assert slipway("verify", OTHER).error == "verify-failed"
    # As fab takes it back.
    assert slipway("switch", RELEASE).code == 0
    assert workers(two) == {f"{RELEASE}:worker"}


def test_a_process_that_the_new_release_does_not_declare_ends_with_the_old_one(
    host: Host, slipway: Slipway
) -> None:
    support.install_release(host, RELEASE, service=SERVICE)
    support.install_release(host, OTHER, service=service(processes=None, timers=None))
    for release in (RELEASE, OTHER):
        assert slipway("activate", release).code == 0

    assert workers(host) == set()
    assert at_boot(host) == set()
    assert not os.path.lexists(host.root / TIMER)
    assert not os.path.lexists(host.root / BOOT)
    assert waiting(host) == set()
    assert slipway("status").result["timers"] == []


def test_a_timers_time_is_the_live_releases(host: Host, slipway: Slipway) -> None:
    daily = {"purge": {"command": "shop purge", "calendar": "Mon *-*-* 06:30"}}
    support.install_release(host, RELEASE, service=SERVICE)
    support.install_release(host, OTHER, service=service(timers=daily))
    for release in (RELEASE, OTHER, RELEASE, OTHER):
        assert slipway("activate", release).code == 0

    assert "OnCalendar=Mon *-*-* 06:30\n" in (host.root / TIMER).read_text()
    assert waiting(host) == {"shop-task@purge.timer"}
    assert slipway("recover").json["changed"] is False


def test_recover_brings_back_a_worker_that_nobody_started_again(two: Host, slipway: Slipway) -> None:
    assert slipway("stop", OTHER).code == 0
    support.kill(two, f"shop-process@{RELEASE}:worker.service")
    wait_for(lambda: not workers(two))

    assert slipway("recover").json["changed"] is True
    assert workers(two) == {f"{RELEASE}:worker"}
    assert slipway("recover").json["changed"] is False


def test_a_program_that_the_release_does_not_have_is_refused_where_it_is_staged(host: Host) -> None:
    support.install_release(host, RELEASE)

    with pytest.raises(StepError, match=r"no such program.*\[project.scripts\]"):
        declaration_here.check_programs(
            host, RELEASE, Declaration("a:b", processes={"worker": ("shop-worker",)})
        )


def test_what_a_host_cannot_give_to_the_services_variables_is_refused(host: Host) -> None:
    settings = host.path("/etc/shop/shop.env")
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text("SHOP_DATABASE_HOST=/var/run/postgresql\n")
    said = {"application": "shop.main:app"}

    with pytest.raises(RefusedError, match="over the socket in /var/run/postgresql"):
        declaration_here.check_variables(
            host, Declaration.of("shop", {**said, "environment": {"POSTGRES_SERVER": "address"}})
        )
    with pytest.raises(RefusedError, match="the credentials jwt_key, which are not in"):
        declaration_here.check_variables(
            host, Declaration.of("shop", {**said, "environment": {"SECRET_KEY": "credential:jwt_key"}})
        )

    host.credential("jwt_key").parent.mkdir(exist_ok=True)
    host.credential("jwt_key").touch()
    settings.write_text("SHOP_DATABASE_HOST=localhost\n")
    declaration_here.check_variables(
        host,
        Declaration.of("shop", {**said, "environment": {"A": "address", "SECRET_KEY": "credential:jwt_key"}}),
    )


def test_a_calendar_in_which_systemd_reads_no_time_is_refused(host: Host) -> None:
    said = Declaration("a:b", timers={"purge": Timer(("shop", "purge"), "nonsense")})

    with pytest.raises(RefusedError, match="in which systemd reads no time"):
        declaration_here.check_calendars(host, said)
