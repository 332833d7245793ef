"""Every alert is told because its fault was made on a host, and none of them by a healthy hour.

Rules and routes are in haste (`haste.py`): an hour is five minutes. What was told, and when, is kept for
docs/alerts.md: python -m tests.e2e.fault_table prints it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from tests.e2e import disks, fault_table, haste, hosts
from tests.e2e.ansible_runs import ROOT
from tests.e2e.conftest import serving
from tests.e2e.fault_rounds import ROUNDS, UNDER_ORDERS
from tests.e2e.faults import Fault
from tests.e2e.watched import Watched, customers, panels
from tests.lab.host import Host
from tests.receiver import Message

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(2400)]

# What was given up in the last hour stands for five minutes of haste.
FIRES, ENDS = 240, 400
HOUR = 3600 / haste.FACTOR
# Made where whoever watches is broken itself, or is lied to (test_watcher_fails.py).
OF_THE_WATCHER = {"NothingSeen", "Watchdog", "ClockWrong"}
TABLE = yaml.safe_load((ROOT / "roles/prometheus/files/alerts.yml").read_text())


@pytest.fixture(scope="module")
def hasty(watched: Watched) -> Iterator[Watched]:
    """The same hosts, with an older release, judged in haste."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(up_to_date, watched.lab.hosts.values()))
    serving(watched.seen, watched.site)
    watched.fab.deploy(watched.bundle()).ended(0, "lost=0")
    haste.hurry(watched.watch)
    yield watched
    haste.calm(watched.watch)


def up_to_date(host: Host) -> None:
    """What the archive has had since the hosts' image was made would wait on each of them, and be used by nobody."""
    if hosts.output(host, "apt-get update --quiet >&2; apt list --upgradable 2>/dev/null | sed 1d"):
        hosts.output(host, "unattended-upgrade")
        host.reboot()


@dataclass
class Rounds:
    """What came of the faults. made, healed: when; came, gone: what was told; wrong: what was not."""

    watched: Watched
    made: dict[Fault, float] = field(default_factory=dict)
    healed: dict[Fault, float] = field(default_factory=dict)
    came: dict[Fault, Message] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def run(self, faults: tuple[Fault, ...]) -> None:
        """Make them at once, wait until each is told, put them right."""
        with ThreadPoolExecutor(len(faults)) as pool:
            try:
                list(pool.map(self._make, faults))
                for fault in faults:
                    self._await(fault)
                shown = self.watched.fab.run("alerts").output
            finally:
                list(pool.map(self._heal, faults))
        lacking = [each.alert for each in faults if each.standing and each.alert not in shown]
        self.wrong += [f"fab alerts does not show {name}:\n{shown}" for name in lacking]

    def _make(self, fault: Fault) -> None:
        self.made[fault] = time.monotonic()
        fault.made(self.watched)

    def _heal(self, fault: Fault) -> None:
        fault.healed(self.watched)
        self.healed[fault] = time.monotonic()

    def _await(self, fault: Fault) -> None:
        since, told = self.made[fault], fault.told
        try:
            self.came[fault] = self.watched.receiver.await_(fault.alert, "firing", since, FIRES, told)
        except AssertionError as failure:
            self.wrong.append(str(failure))

    def over(self, seconds: float) -> list[str]:
        """Wait until each is told to be over, and keep when that was; what is still not."""
        late = []
        for fault, came in list(self.came.items()):
            try:
                gone = self.watched.receiver.await_end(came, seconds)
            except AssertionError as failure:
                late.append(str(failure))
                continue
            fired, ended = came.at - self.made[fault], gone.at - self.healed[fault]
            fault_table.keep(fault.alert, fault.said, fired, ended, came.said["sentence"])
            self.wrong += [] if _typed(came.said) else [str(came)]
            del self.came[fault]
        return late


def _typed(said: dict[str, Any]) -> bool:
    """Whether somebody knows what to type, and where to read."""
    return bool(said["command"]) and (ROOT / "docs/runbooks" / said["runbook"]).is_file()


def test_each_rule_has_a_fault() -> None:
    made = {fault.alert for faults in ROUNDS.values() for fault in faults}
    assert made | OF_THE_WATCHER == {row["alert"] for row in TABLE}


@pytest.fixture(scope="module")
def rounds(hasty: Watched) -> Rounds:
    """What came of all faults."""
    return Rounds(hasty)


@pytest.mark.parametrize("name", ROUNDS)
def test_faults_are_told_with_their_sentences(rounds: Rounds, name: str) -> None:
    rounds.wrong.clear()
    with customers(rounds.watched) if name in UNDER_ORDERS else nullcontext():
        rounds.run(ROUNDS[name])
    # Those that take longer end beside the next round.
    rounds.over(0.2)
    assert rounds.wrong == []


def test_each_is_told_again_when_it_is_over(rounds: Rounds) -> None:
    rounds.wrong.clear()
    late = rounds.over(ENDS)
    print("\n".join(["", *fault_table.lines()]))
    assert rounds.wrong + late == []


def test_every_panel_is_answered_in_its_unit_of_all_this(hasty: Watched) -> None:
    # A lab's own disk is an overlay, which node-exporter leaves out.
    with disks.attached(hasty.other, "/srv/disk", 64):
        time.sleep(15)
        empty, wrong, _ = panels(hasty, time.time() - 3600)
    # There is no Redis, and by now all may be right.
    assert (empty - {"service: Cache", "database: What is not right"}, wrong) == (set(), {})


def test_a_healthy_hour_with_a_deploy_a_rollback_and_a_backup_calls_nobody(hasty: Watched) -> None:
    fab = hasty.fab
    hosts.until(
        "nothing fires", lambda: fab.run("alerts").status == 0, seconds=ENDS, show=lambda: str(fab.run("alerts"))
    )  # fmt: skip
    began, ends = time.monotonic(), time.monotonic() + HOUR
    with customers(hasty) as seen:
        time.sleep(20)
        fab.deploy(hasty.bundle(), bake=5).ended(0, "lost=0")
        time.sleep(20)
        fab.run("rollback", "--yes").ended(0)
        fab.run("db-backup").ended(0)
        time.sleep(max(0.0, ends - time.monotonic()))
    seen[0].lost_nothing()
    came = [each for each in hasty.receiver.alerts(began) if each.status == "firing"]
    assert [f"{each.name}: {each.said['sentence']}" for each in came] == []
    beats = [each for each in hasty.receiver.messages if each.name == "Watchdog" and each.at >= began]
    assert len(beats) > HOUR / 20
