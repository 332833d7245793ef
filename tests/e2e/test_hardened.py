"""A fleet that was hardened from its first run on: it serves, it is deployed to, and nobody else comes in."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.e2e import hosts
from tests.e2e.ansible_runs import ROOT, Playbooks
from tests.e2e.conftest import KEPT, boot, serving, site_of
from tests.e2e.ground import RATE, Ground, ground_of, new_release
from tests.lab.host import Host

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(1200)]

REACHES = "timeout 3 bash -c 'exec 3<>/dev/tcp/{address}/{port}' 2>&1"
DAEMONS = {
    "edge": ("nginx", "rsyslog", "unattended-upgrades"),
    "app": ("nginx", "rsyslog"),
    "db": ("postgresql@14-main", "rsyslog"),
    "logs": ("rsyslog",),
}


@pytest.fixture(scope="module")
def inventory() -> Iterator[Path]:
    """inventory/fleet, hardened."""
    folder = ROOT / "inventory/test-hardened"
    shutil.copytree(ROOT / "inventory/fleet", folder, dirs_exist_ok=True)
    says = yaml.safe_dump({"slipway_hardened": True}, explicit_start=True)
    (folder / "group_vars/all/hardened.yml").write_text(says)
    yield folder
    if not KEPT:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def ground(inventory: Path) -> Iterator[Ground]:
    """An edge, two app hosts, a database, a collector of logs, all serving after one run."""
    for lab in boot("SLIPWAY_E2E_FLEET", str(inventory)):
        first = Playbooks(lab.site.inventory).run("site.yml").succeeded()
        print(f"hardened from bare: {first.seconds:.0f} s")
        yield ground_of(lab, site_of(lab))


def test_a_second_run_changes_nothing_and_nothing_is_wrong(ground: Ground) -> None:
    playbooks = Playbooks(ground.lab.site.inventory)
    again = playbooks.run("site.yml").succeeded()
    assert again.changed == 0, again
    run = playbooks.run("playbooks/verify.yml").succeeded()
    run.says(*(f"{host.name}: nothing is wrong." for host in ground.lab.hosts.values()))


def test_daemons_run_confined_from_their_first_start(ground: Ground) -> None:
    for group, units in DAEMONS.items():
        host = ground.lab.host(ground.lab.groups[group][0])
        for unit in units:
            status = hosts.output(
                host, f"cat /proc/$(systemctl show --property=MainPID --value {unit}.service)/status"
            )
            facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2"), f"{unit} on {host.name}"


def test_a_deploy_and_a_rollback_under_load_lose_nothing(ground: Ground) -> None:
    shop, (bundle, new), before = ground.shop(), new_release(ground), ground.live()
    with shop.load(RATE) as load:
        ground.fab.deploy(bundle, bake=3).ended(0, f"{new} is live on every app host", "lost=0")
        ground.fab.run("rollback").ended(0, f"{before} is live on every app host", "lost=0")
        ground.fab.run("restart").ended(0)
    seen = load.seen.lost_nothing()
    print(seen)
    assert {answer.release for answer in seen.answers} == {before, new}
    assert shop.keys() == {answer.key for answer in seen.answers}
    ground.is_whole(before)


def test_the_database_is_looked_at_and_backed_up(ground: Ground) -> None:
    ground.fab.run("db-backup").ended(0)
    ground.fab.run("db-restore", "--test").ended(0)
    ground.fab.run("db-status").ended(0, "is a primary of PostgreSQL 14.")
    ground.fab.run("status").ended(0, ground.live())


def test_a_port_is_reached_by_whom_the_inventory_says_and_by_nobody_else(ground: Ground) -> None:
    edge, app, database, logs = (
        ground.lab.host(ground.lab.groups[group][0]) for group in ("edge", "app", "db", "logs")
    )
    reached = [
        (edge, app, 8443, True),
        (logs, app, 8443, False),
        (app, database, 5432, True),
        (edge, database, 5432, False),
        (app, logs, 2514, True),
        (database, app, 443, False),
        (logs, edge, 443, True),
    ]
    for source, target, port, wanted in reached:
        done = source.run(REACHES.format(address=target.address, port=port))
        assert (done.returncode == 0) == wanted, f"{source.name} to {target.name}:{port}: {done.stdout}"


def filed(logs: Host, sender: str, word: str) -> bool:
    return logs.run(f"grep -rqs {word} /var/log/remote/{sender}/").returncode == 0


def test_lines_of_every_host_come_to_the_collector(ground: Ground) -> None:
    logs = ground.lab.host(ground.lab.groups["logs"][0])
    word = f"hardened-{time.time_ns()}"
    for host in ground.lab.hosts.values():
        hosts.output(host, f"logger --tag=hardened {word}")
    others = [host.name for host in ground.lab.hosts.values() if host.name != logs.name]
    for name in others:
        hosts.until(
            f"{name}'s line is filed",
            partial(filed, logs, name, word),
            seconds=60,
        )


def test_every_host_serves_again_after_a_boot_at_once(ground: Ground) -> None:
    booted: list[Host] = [*ground.lab.hosts.values()]
    for host in booted:
        host.kill()
    for host in booted:
        host.up()
        assert "policy drop" in hosts.output(host, "nft list table inet slipway_host")
    serving(ground.first, ground.site)
    ground.is_whole()
