"""PostgreSQL's next major on a booted host: there, back and there again under load, and the host goes by it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e import hosts, inventories
from tests.e2e.ansible_runs import Playbooks
from tests.e2e.fab_runs import Fab
from tests.e2e.ground import RATE, ground_of
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(1200)]

NAME = "test-next-major"
ARCHIVE = {
    "name": "postgresql-17",
    "uri": "http://{{ lab_bridge_address }}:{{ lab_packages_port }}/archive/lab-17",
    "suite": "lab-17",
    "components": ["main"],
    "key_file": "{{ inventory_dir }}/../../.lab/archive-key.asc",
}
# Seconds; and how much longer than a rehearsal said.
LONGEST_PAUSE, MORE = 2.0, 1.3
# The steps during which writers wait.
PAUSE = '"step": "(fence|drain|open|ports)", "phase": "end"'
JOURNAL = "/var/lib/slipway/shop/upgrade/journal.jsonl"
VERSION = "SELECT current_setting('server_version_num')::int / 10000"


@dataclass
class Planned:
    """The one host, with an inventory that plans an upgrade to 17."""

    host: Host
    fab: Fab
    playbooks: Playbooks
    inventory: inventories.Own

    def upgrade(self, step: str) -> dict[str, Any]:
        """The result of a step that has to go well."""
        done = self.fab.run("db-upgrade", "--to=17", f"--{step}", "--yes", "--json").ended(0)
        found: dict[str, Any] = json.loads(done.output)
        print(f"--{step}, {done.seconds:.1f} s in all: {found.get('detail', '')}")
        return found

    def serving(self) -> str:
        return hosts.sql(self.host, VERSION)

    def worries(self) -> dict[str, str]:
        """What db-status says of each check that is not well."""
        report = json.loads(self.fab.run("db-status", "--json").output)
        return {
            each["check"]: f"{each['level']}: {each['sentence']}"
            for section in report["sections"] for each in section["findings"] if each["level"] != "ok"
        }  # fmt: skip


@pytest.fixture(scope="module")
def planned(spoilt: Host, lab: Lab) -> Iterator[Planned]:
    """The host with the packages of 17 beside those of 14."""
    lab.site.serve_later()
    says = {"apt_sources_archives": [ARCHIVE], "postgresql_upgrade_to": "17"}
    with inventories.own(lab.site.inventory, NAME, says) as inventory:
        own = Playbooks(inventory.folder)
        for layer in ("base", "database"):
            own.run(f"playbooks/{layer}.yml").succeeded()
        yield Planned(spoilt, Fab(NAME), own, inventory)


def test_there_and_back_and_there_again_under_load_loses_no_order(
    planned: Planned, lab: Lab, site: Site
) -> None:
    host, shop = planned.host, ground_of(lab, site).shop()
    before = planned.worries()
    with shop.load(RATE / 2) as load:
        planned.fab.run("db-upgrade", "--to=17", "--plan").ended(0, "Nothing is in the way")
        rehearsed = planned.upgrade("rehearse")
        planned.upgrade("prepare")
        planned.playbooks.run("playbooks/database.yml").refused().says("already has the cluster")
        there = planned.upgrade("switch")
        assert planned.serving() == "17"
        while_both = planned.worries()
        planned.fab.run("db-backup").ended(0)
        back = planned.upgrade("back")
        assert planned.serving() == "14"
        again = planned.upgrade("switch")
        planned.upgrade("finish")
    asked = {answer.key for answer in load.seen.answers if answer.status == 201}
    print(hosts.output(host, f"grep -E '{PAUSE}' {JOURNAL}"))
    print(
        f"rehearsed {rehearsed['pause_seconds']} and {rehearsed['back_seconds']} s; writers waited "
        f"{there['pause_seconds']}, {back['pause_seconds']} and {again['pause_seconds']} s; {load.seen}, "
        f"nobody served for {load.seen.gap_ms():.0f} ms at most; status: {before} before, {while_both} meanwhile"
    )
    assert asked - shop.keys() == set()
    assert not load.seen.losses, load.seen.losses[:5]
    assert set(while_both) <= set(before), while_both
    assert (
        hosts.output(host, "pg_lsclusters --no-header | cut -d' ' -f1-4 | tr -s ' '") == "17 main 5432 online"
    )
    # Last, because a machine that has other work misses it, and all else holds there, too.
    for each, said in ((there, rehearsed["pause_seconds"]), (back, rehearsed["back_seconds"])):
        assert each["pause_seconds"] < min(LONGEST_PAUSE, max(MORE * said, 1.0))


def test_the_host_goes_by_its_new_major(planned: Planned, lab: Lab, site: Site) -> None:
    if planned.serving() != "17":
        pytest.fail("the upgrade before this did not end")
    planned.fab.run("db-upgrade", "--to=17", "--finish", "--yes").ended(2, "othing was changed")
    planned.inventory.says({"apt_sources_archives": [ARCHIVE], "postgresql_version": "17"})
    planned.playbooks.run("site.yml").succeeded()
    assert planned.playbooks.run("site.yml").succeeded().changed == 0
    hosts.until("it serves", site.ready, seconds=60)
    planned.fab.run("db-backup").ended(0)
    proof = planned.host.run("systemctl start slipway-restore-test-shop.service")
    assert proof.returncode == 0, hosts.journal(planned.host, "slipway-restore-test-shop.service")
    worries = planned.worries()
    print(f"status: {worries}")
    assert not {check: said for check, said in worries.items() if said.startswith("critical")}, worries
    ground = ground_of(lab, site)
    with ground.shop().load(RATE / 2) as load:
        planned.fab.deploy(ground.release()).ended(0)
    load.seen.lost_nothing()
    planned.host.reboot()
    hosts.until("it serves", site.ready, seconds=90)
    assert planned.serving() == "17"
    assert "postgresql" not in hosts.output(planned.host, "systemctl list-units --failed --plain --no-legend")
    # What the system's own pgBackRest cannot back up is refused before anything changes.
    physical = {
        "backups_physical": True,
        "backups_physical_key": "k" * 40,
        "backups_physical_key_kept": "nowhere",
    }
    planned.inventory.says({"apt_sources_archives": [ARCHIVE], "postgresql_version": "17", **physical})
    planned.playbooks.run("playbooks/database.yml").refused().says(
        "backs up 14 at most", "Nothing was changed."
    )
