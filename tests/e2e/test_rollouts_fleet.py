"""Rollouts over three app hosts behind an edge: both or none, whatever is out of reach and whenever."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.e2e import hosts
from tests.e2e.ansible_runs import ROOT, Playbooks
from tests.e2e.conftest import AS_IS, KEPT, boot, site_of
from tests.e2e.freezing import Moment, Watch
from tests.e2e.ground import RATE, Ground, ground_of, late_ms, new_release, running, slipway, switches
from tests.lab.host import Host

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(900)]

LATEST_MS = 100
THIRD = "10.83.7.33"
# Only what begins a connection: the lab's own, which is there, goes on.
DROP = "add table inet cut; add chain inet cut in { type filter hook input priority -20; }; \
add rule inet cut in tcp dport 22 tcp flags & (syn | ack) == syn drop"
CUT_SECONDS = 240


@pytest.fixture(scope="module")
def inventory() -> Iterator[Path]:
    """inventory/fleet with a third app host, and pools that leave room for its connections."""
    folder = ROOT / "inventory/test-three-app-hosts"
    shutil.copytree(ROOT / "inventory/fleet", folder, dirs_exist_ok=True)
    listed = yaml.safe_load((folder / "hosts.yml").read_text())
    listed["app"]["hosts"]["app-3"] = {"ansible_host": THIRD}
    listed["app"]["vars"] = {"app_database_pool_size": 4, "app_database_max_overflow": 3}
    (folder / "hosts.yml").write_text(yaml.safe_dump(listed, explicit_start=True))
    yield folder
    if not KEPT:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def ground(inventory: Path) -> Iterator[Ground]:
    """An edge, three app hosts, a database, all serving."""
    for lab in boot("SLIPWAY_E2E_FLEET", str(inventory)):
        if not AS_IS:
            Playbooks(lab.site.inventory).run("site.yml").succeeded()
        yield ground_of(lab, site_of(lab))


@pytest.fixture(autouse=True)
def whole_in_the_end(ground: Ground) -> Iterator[None]:
    """Whatever a test does, one release serves everywhere when it has ended and nothing is left behind."""
    yield
    ground.is_whole()


@contextmanager
def out_of_reach(host: Host) -> Iterator[None]:
    """SSH makes no new connection to a host; it serves on."""
    # It heals by itself, so that a test that fails leaves a host one can look at.
    hosts.output(host, f"systemd-run --quiet --on-active={CUT_SECONDS} --unit=heal nft delete table inet cut")
    hosts.output(host, f"nft '{DROP}'")
    # The lab's shared connection ends when nobody has used it for a minute.
    kept = subprocess.Popen(
        [*host.site.access.command(host.address), f"sleep {CUT_SECONDS}"], stdin=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        kept.kill()
        kept.wait()
        hosts.output(host, "nft delete table inet cut; systemctl stop heal.timer")


def test_a_deploy_and_a_rollback_under_load_lose_nothing(ground: Ground) -> None:
    shop, (bundle, new), before, since = ground.shop(), new_release(ground), ground.live(), time.time()
    with shop.load(RATE) as load:
        ground.fab.deploy(bundle, bake=3).ended(0, f"{new} is live on every app host", "lost=0")
        deployed = ground.live()
        ground.fab.run("rollback").ended(0, f"{before} is live on every app host", "lost=0")
    seen = load.seen.lost_nothing()
    assert deployed == new
    assert {answer.release for answer in seen.answers} == {before, new}
    assert shop.keys() == {answer.key for answer in seen.answers}
    late = late_ms(ground, seen, since, asked=True)
    assert len(late) == 2
    assert max(late) < LATEST_MS, late


def test_a_canary_comes_before_the_others(ground: Ground) -> None:
    (bundle, _), since = new_release(ground), time.time()
    ground.fab.deploy(bundle, "--canary", bake=3).ended(0)
    (canary,), *others = (switches(host, since) for host in ground.app_hosts)
    assert all(moved[0] - canary[0] >= 3 for (moved,) in others)


def test_a_host_out_of_reach_before_leaves_all_untouched(ground: Ground) -> None:
    bundle, before = ground.release(), ground.live()
    with out_of_reach(ground.app_hosts[1]):
        ground.fab.deploy(bundle).ended(
            3,
            f"{ground.app_hosts[1].name} ({ground.app_hosts[1].address}) cannot be reached over SSH",
            "Nothing was changed on any host.",
            f"--without {ground.app_hosts[1].name}",
        )
    assert ground.live() == before


def lost_at(ground: Ground, moment: Moment) -> tuple[str, str]:
    """Deploy, and lose the second app host at a moment of it. Return what fab said, and the release."""
    (bundle, new), host = new_release(ground), ground.app_hosts[1]
    watch, shop = Watch(host, moment, new), ground.shop()
    with shop.load(RATE) as load:
        started = ground.fab.start("deploy", f"--bundle={bundle}", "--bake=0")
        frozen = watch.frozen()
        with out_of_reach(host):
            frozen.send("KILL", frozen.sessions)
            frozen.thaw()
            done = started.wait()
    load.seen.lost_nothing()
    assert done.status in (3, 6), done
    return done.output, new


def test_a_host_lost_before_the_barrier_leaves_the_traffic_where_it_was(ground: Ground) -> None:
    before = ground.live()
    said, new = lost_at(ground, Moment("gate", "end"))
    assert "No traffic was moved" in said
    assert ground.live() == before
    ground.fab.run("recover").ended(0)
    assert all(new not in running(host) for host in ground.app_hosts)
    ground.is_whole(before)


def test_a_host_lost_after_the_barrier_is_told_and_mended(ground: Ground) -> None:
    before, (first, second, third) = ground.live(), ground.app_hosts
    said, new = lost_at(ground, Moment("switch", "end"))
    assert f"Going back did not end on {second.name}" in said
    assert f"fab recover --env {ground.fab.name}" in said
    assert hosts.live_release(first) == hosts.live_release(third) == before
    assert hosts.live_release(second) == new
    ground.fab.run("status").ended(
        3, "The hosts serve different releases", f"{second.name} {new}", "fab recover"
    )
    ground.fab.run("recover").ended(0, f"{first.name} serves {before}", f"{second.name} serves {before}")
    ground.is_whole(before)


def test_one_host_that_fails_its_gate_leaves_all_untouched(ground: Ground) -> None:
    (bundle, new), before, host = new_release(ground), ground.live(), ground.app_hosts[1]
    folder = f"/etc/systemd/system/shop@{new}.service.d"
    hosts.output(
        host,
        f"mkdir {folder} && printf '[Service]\\nExecStartPre=/usr/bin/false\\n' > {folder}/fail.conf && "
        "systemctl daemon-reload",
    )
    with ground.shop().load(RATE) as load:
        ground.fab.deploy(bundle).ended(3, f"{new} did not become ready", host.name, "No traffic was moved")
    hosts.output(host, f"rm -r {folder} && systemctl daemon-reload")
    assert {answer.release for answer in load.seen.lost_nothing().answers} == {before}
    ground.is_whole(before)


def test_one_host_that_fails_after_the_switch_brings_all_back(ground: Ground) -> None:
    (bundle, new), before, host = new_release(ground), ground.live(), ground.app_hosts[1]
    watch = Watch(host, Moment("bake", "begin"), new)
    started = ground.fab.start("deploy", f"--bundle={bundle}", "--bake=10")
    frozen = watch.frozen()
    frozen.thaw()
    time.sleep(1)
    hosts.output(host, f"systemctl kill --signal=KILL shop@{new}")
    started.wait().ended(
        3,
        f"{new} failed after traffic had moved",
        host.name,
        "Every host went back",
        f"{new} is marked bad",
    )
    ground.is_whole(before)


def test_a_drained_host_gets_no_request_and_no_request_is_lost(ground: Ground) -> None:
    host = ground.app_hosts[1]
    log = """awk '/"POST|POST / {found++} END {print found + 0}' /var/log/nginx/access.log"""
    with ground.shop().load(RATE) as load:
        time.sleep(1)
        ground.fab.run("drain", f"--host={host.name}").ended(0, "takes no new requests")
        time.sleep(1)
        drained = int(hosts.output(host, log))
        time.sleep(2)
        assert int(hosts.output(host, log)) == drained
        assert "drained" in ground.fab.run("status").output
        ground.fab.run("undrain", f"--host={host.name}").ended(0, "takes requests again")
        hosts.until("it is asked again", lambda: int(hosts.output(host, log)) > drained, seconds=30)
    load.seen.lost_nothing()
    assert drained > 0


def test_a_restart_under_load_replaces_every_instance_and_loses_nothing(ground: Ground) -> None:
    def instances() -> list[str]:
        return [
            hosts.output(host, f"systemctl show --property=MainPID --value {hosts.live_unit(host)}").strip()
            for host in ground.app_hosts
        ]

    live, before, shop = ground.live(), instances(), ground.shop()
    with shop.load(RATE) as load:
        ground.fab.run("restart").ended(0, f"restarted: {live} is live on every app host", "lost=0")
    seen = load.seen.lost_nothing()
    assert set(before).isdisjoint(instances())
    assert {answer.release for answer in seen.answers} == {live}
    assert shop.keys() == {answer.key for answer in seen.answers}


def test_a_third_host_that_was_down_for_two_releases_is_told_and_mended(ground: Ground) -> None:
    first, second, late = ground.app_hosts
    before = ground.live()
    late.kill()
    for _ in range(2):
        bundle, new = new_release(ground)
        ground.fab.deploy(bundle).ended(3, f"--without {late.name}")
        ground.fab.deploy(bundle, f"--without={late.name}").ended(0, f"{new} is live")
    late.up()
    hosts.until("it serves", lambda: slipway(late, "status")["live"]["socket"]["ready"], seconds=60)
    ground.fab.run("status").ended(
        3,
        "The hosts serve different releases",
        *(f"{host.name} {new}" for host in (first, second)),
        f"{late.name} {before}",
    )
    ground.fab.run("recover").ended(0, *(f"{host.name} serves {new}" for host in ground.app_hosts))
    ground.is_whole(new)
