"""A fleet is patched while customers order: libraries, a kernel that asks for a reboot, PostgreSQL in its window."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks
from tests.e2e.conftest import AS_IS, boot, site_of
from tests.e2e.ground import CLIENTS, RATE, Ground, ground_of, slipway
from tests.e2e.test_fleet import in_group
from tests.lab.host import Host

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(1800)]

PUBLISH = (Path(__file__).parent / "on_host/publish.sh").read_text()
LIBRARY, DATABASE = "libssl3", "postgresql-14"
SHORT_LEASE = {"SLIPWAY_LEASE_SECONDS": "8"}
# From the stop of the server to the first order after it, beside whatever else the machine does.
WINDOW_SECONDS = 60
PATIENCE = 900


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """The fleet, serving, with an archive of its own on each host."""
    for lab in boot("SLIPWAY_E2E_FLEET", "inventory/fleet"):
        if not AS_IS:
            Playbooks(lab.site.inventory).run("site.yml").succeeded()
        for app in in_group(lab, "app"):
            publish(app, "kernel-probe=1")
            hosts.output(app, "apt-get --quiet --quiet --yes install kernel-probe")
        yield ground_of(lab, site_of(lab))


@pytest.fixture(autouse=True)
def whole_in_the_end(ground: Ground) -> Iterator[None]:
    yield
    ground.is_whole()


def publish(host: Host, *packages: str) -> None:
    hosts.output(host, f"sh -s {' '.join(packages)}", stdin=PUBLISH)


def version(host: Host, package: str) -> str:
    return hosts.output(host, f"dpkg-query --show --showformat='${{Version}}' {package}")


def boot_id(host: Host) -> str:
    return hosts.output(host, "cat /proc/sys/kernel/random/boot_id")


def wait_for_updates(ground: Ground, round: int) -> None:
    """Have a newer library wait on every host, and a kernel on the app hosts."""

    def waits(host: Host) -> None:
        wanted = [f"{LIBRARY}={version(host, LIBRARY)}+r{round}"]
        if host in ground.app_hosts:
            wanted.append(f"kernel-probe={int(version(host, 'kernel-probe')) + 1}")
        publish(host, *wanted)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(waits, ground.lab.hosts.values()))


def plan(ground: Ground) -> dict[str, dict[str, Any]]:
    """What a plan says of each host."""
    done = ground.fab.start("patch", "--plan", "--json").wait(PATIENCE).ended(0)
    line = next(line for line in done.output.splitlines() if line.startswith("{"))
    return {row["host"]: row for row in json.loads(line)["hosts"]}


def started(app: Host) -> int:
    """When the live release of a host was started, in microseconds since its boot."""
    return int(
        hosts.output(
            app, f"systemctl show --property=ActiveEnterTimestampMonotonic --value {hosts.live_unit(app)}"
        )
    )


def names(rows: list[dict[str, str]]) -> set[str]:
    return {row["name"] for row in rows}


def starts(database: Host, since: str) -> int:
    """How often the server was started since a moment."""
    said = hosts.output(
        database, f"journalctl --quiet --output=cat --unit=postgresql@14-main.service --since=@{since}"
    )
    return said.count("Started PostgreSQL Cluster 14-main")


def test_a_fleet_is_patched_and_its_app_hosts_rebooted_and_no_order_is_lost(ground: Ground) -> None:
    wait_for_updates(ground, 2)
    planned = plan(ground)
    assert all(LIBRARY in names(row["updates"]) for row in planned.values()), planned
    assert "kernel-probe" in names(planned["app-1"]["updates"])
    before = {host.name: boot_id(host) for host in ground.lab.hosts.values()}
    live, began = ground.live(), time.monotonic()
    with ground.shop().load(RATE) as load:
        done = (
            ground.fab.start("patch")
            .wait(PATIENCE)
            .ended(0, "fleet patched: logs-1, app-1, app-2, edge-1, db-1")
        )
    print(done)
    print(f"{load.seen}, longest gap {load.seen.gap_ms():.0f} ms, in {time.monotonic() - began:.0f} s")
    load.seen.lost_nothing()
    assert "Rebooted: app-1, app-2." in done.output
    assert {name for name, host in ground.lab.hosts.items() if boot_id(host) != before[name]} == {
        "app-1",
        "app-2",
    }
    assert all(version(host, LIBRARY).endswith("+r2") for host in ground.lab.hosts.values())
    assert ground.live() == live
    assert "db-1: PostgreSQL restarts once, for lib" in done.output
    assert "edge-1: nginx changes its program, for lib" in done.output


def test_a_library_alone_has_the_releases_started_anew_and_no_order_is_lost(ground: Ground) -> None:
    for app in ground.app_hosts:
        publish(app, f"{LIBRARY}={version(app, LIBRARY)}+r3")
    before = [started(app) for app in ground.app_hosts]
    with ground.shop().load(RATE) as load:
        done = ground.fab.start("patch").wait(PATIENCE).ended(0, "fleet patched: app-1, app-2")
    print(done, load.seen, sep="\n")
    load.seen.lost_nothing()
    assert "Rebooted" not in done.output
    assert all(started(app) > then for app, then in zip(ground.app_hosts, before, strict=True))
    after = plan(ground)
    assert not any(after[app.name]["stale"]["release"] for app in ground.app_hosts)


def test_postgresql_restarts_once_in_its_window_and_orders_are_refused_for_a_moment(ground: Ground) -> None:
    (database,) = in_group(ground.lab, "db")
    publish(database, f"{DATABASE}={version(database, DATABASE)}+r3")
    since = hosts.output(database, "date +%s")
    with ground.shop().load(RATE) as load:
        outside = ground.fab.start("patch").wait(PATIENCE).ended(0, f"PostgreSQL restarts once, {DATABASE} ")
        assert starts(database, since) == 0, outside
        calm = time.time()
        inside = ground.fab.start("patch", "--window").wait(PATIENCE).ended(0, "fleet patched: ")
        served = time.time()
        time.sleep(2)
    window = load.seen.within(calm, served)
    refused = sorted(answer.sent for answer in window.wrong)
    print(outside, inside, load.seen, window.losses[:3], sep="\n")
    load.seen.within(0, calm).lost_nothing()
    assert starts(database, since) == 1
    assert version(database, DATABASE).endswith("+r3")
    assert "PostgreSQL" not in inside.output.partition("fleet patched: ")[2]
    assert {answer.status for answer in window.wrong} == {503}
    # The edge's nginx changed its program, too: each customer's one connection was closed at most once.
    assert len(window.losses) <= CLIENTS
    print(f"503 for {len(refused)} orders within {refused[-1] - refused[0]:.1f} s")
    assert refused[-1] - refused[0] < WINDOW_SECONDS


def is_at(app: Host, step: str, booted: str) -> bool:
    """Whether an app host is at a step of its part. booted: its boot id before."""
    if step == "reboots":
        # One that is away says nothing.
        return app.run("cat /proc/sys/kernel/random/boot_id").stdout.strip() != booted
    seen = {
        "is drained": "test -e /run/slipway/shop/drained",
        "installs": "systemctl is-active --quiet slipway-patch.service",
    }
    return app.run(seen[step]).returncode == 0


def kill_when(ground: Ground, step: str) -> None:
    """Start a patch, and kill it as soon as its first app host is at that step; the host is up again after it."""
    app = ground.first
    run, booted = ground.fab.start("patch", "--wait=60", **SHORT_LEASE), boot_id(app)
    hosts.until(f"{app.name} {step}", lambda: not run.running or is_at(app, step, booted), seconds=PATIENCE)
    assert run.running, run.wait()
    run.signal(signal.SIGKILL)
    print(f"killed when {app.name} {step}", run.wait())
    hosts.until(f"{app.name} answers", lambda: app.run("true").returncode == 0, seconds=120)


def test_a_patch_that_is_killed_at_a_step_is_finished_by_the_next(ground: Ground) -> None:
    wait_for_updates(ground, 4)
    before = {host.name: boot_id(host) for host in ground.app_hosts}
    with ground.shop().load(RATE) as load:
        for step in ("is drained", "installs", "reboots"):
            kill_when(ground, step)
        done = ground.fab.start("patch", "--wait=60", **SHORT_LEASE).wait(PATIENCE).ended(0)
    print(done, load.seen, sep="\n")
    load.seen.lost_nothing()
    assert all(version(host, LIBRARY).endswith("+r4") for host in ground.lab.hosts.values())
    assert all(boot_id(host) != before[host.name] for host in ground.app_hosts)
    assert [slipway(host, "status")["drained"] for host in ground.app_hosts] == [None, None]
    assert all(not row["updates"] and not row["reboot"] for row in plan(ground).values())
