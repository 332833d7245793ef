"""Migrations of a host that serves: behind somebody's lock, and what takes away what earlier releases need."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from fabfile.bundle import wheels
from fabfile.hosts import environment
from fabfile.hosts.connection import Remote
from fabfile.rollout import shipping
from tests.e2e import hosts
from tests.e2e.broken_releases import migrating
from tests.e2e.fab_runs import Started, release_of
from tests.e2e.ground import RATE, Ground, entries, ground_of, slipway
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(900)]

APPLIED = "SELECT version_num FROM shop.alembic_version"
ADD = ("aaaaaaaaaaa1", "expand", "ALTER TABLE shop.products ADD COLUMN note text")
DROP = ("aaaaaaaaaaa9", "contract", "ALTER TABLE shop.products DROP COLUMN note")


@pytest.fixture(scope="module")
def ground(spoilt: Host, lab: Lab, site: Site) -> Ground:
    """One host that serves."""
    return ground_of(lab, site)


@pytest.fixture(autouse=True)
def whole_in_the_end(ground: Ground) -> Iterator[None]:
    """Whatever a test does, one release serves when it has ended and nothing is left behind."""
    yield
    ground.is_whole()


def release_with(scratch: Path, *changes: tuple[str, str, str]) -> tuple[Path, str]:
    """A release with further revisions, each a name, a kind and a statement; bundle and release id."""
    bundle = migrating(scratch, changes)
    return bundle, release_of(bundle)


@contextmanager
def locked(host: Host) -> Iterator[None]:
    """Somebody reads the products in a transaction that stays open: nobody but a change of the table minds."""
    unit = f"reader-{uuid.uuid4().hex[:8]}"
    script = "BEGIN; LOCK TABLE shop.products IN ACCESS SHARE MODE; SELECT pg_sleep(300)"
    hosts.output(
        host, f"systemd-run --quiet --unit={unit} --uid=postgres psql --dbname=shop --command='{script}'"
    )
    held = "SELECT count(*) FROM pg_locks WHERE relation = 'shop.products'::regclass AND mode = 'AccessShareLock'"
    hosts.until("the table is locked", lambda: hosts.sql(host, held) != "0", seconds=20)
    try:
        yield
    finally:
        # A server that sleeps does not notice that its client is gone.
        hosts.sql(
            host,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK TABLE%'",
        )


@pytest.mark.share
def test_a_migration_behind_a_lock_holds_up_no_customer_and_succeeds_when_it_is_free(
    ground: Ground, tmp_path: Path
) -> None:
    bundle, new = release_with(tmp_path, ADD)
    planned = f"{ADD[0]}: ACCESS EXCLUSIVE on products"
    ground.fab.run("deploy", f"--bundle={bundle}", "--plan").ended(0, planned)
    shop, before = ground.shop(), hosts.sql(ground.first, APPLIED)

    def journal() -> str:
        return hosts.journal(ground.first, f"shop-migrate@{new}", lines=200)

    with shop.load(RATE) as load:
        with locked(ground.first):
            started = ground.fab.start("deploy", f"--bundle={bundle}", "--bake=0")
            waits = "the migration has waited for the lock"
            hosts.until(waits, lambda: "migration_waits_for_lock" in journal(), seconds=240, show=journal)
        said = f"{ADD[0]} applied in"
        started.wait().ended(0, "in the way is pid", said, f"{new} is live on every app host", "lost=0")
    seen = load.seen.lost_nothing()
    assert shop.keys() == {answer.key for answer in seen.answers}
    moved = entries(ground.first, "migrate", new, "end")[-1]["details"]
    assert (moved["from"], moved["to"]) == (before, "aaaaaaaaaaa1")
    assert "migration_blocked" in journal()


def test_a_migration_that_fails_leaves_the_schema_and_the_traffic(ground: Ground, tmp_path: Path) -> None:
    half = "DO $$ BEGIN ALTER TABLE shop.products ADD COLUMN half text; PERFORM 1/0; END $$"
    bundle, new = release_with(tmp_path, ADD, ("aaaaaaaaaaa2", "expand", half))
    live, before = ground.live(), hosts.sql(ground.first, APPLIED)
    ground.fab.deploy(bundle).ended(3, "division by zero", "No traffic was moved")
    ground.fab.run("migrate-history").ended(0, "failed", "aaaaaaaaaaa2", "division by zero")
    assert (ground.live(), hosts.sql(ground.first, APPLIED)) == (live, before)
    columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'products' AND column_name = 'half'"
    assert hosts.sql(ground.first, columns) == "0"
    assert slipway(ground.first, "list")["releases"][0]["release"] == new


@contextmanager
def dropped_in(host: Host, unit: str, *lines: str) -> Iterator[None]:
    """Further lines for a unit, as app_migration_timeout would write them, until the block ends."""
    folder = f"/run/systemd/system/{unit}.d"
    text = "\\n".join(["[Service]", *lines])
    hosts.output(
        host, f"mkdir -p {folder} && printf '{text}\\n' > {folder}/test.conf && systemctl daemon-reload"
    )
    try:
        yield
    finally:
        hosts.output(host, f"rm -r {folder} && systemctl daemon-reload")


def test_a_migration_has_no_limit_of_time_and_ends_whole_where_it_is_given_one(
    ground: Ground, tmp_path: Path
) -> None:
    slow = ("aaaaaaaaaaa3", "expand", "SELECT pg_sleep(120)")
    bundle, new = release_with(tmp_path, ADD, slow)
    live, before = ground.live(), hosts.sql(ground.first, APPLIED)
    limit = f"systemctl show --property=TimeoutStartUSec --value shop-migrate@{new}"
    assert hosts.output(ground.first, limit).strip() == "infinity"
    began = time.monotonic()
    try:
        with dropped_in(ground.first, "shop-migrate@.service", "TimeoutStartSec=8"):
            ground.fab.deploy(bundle).ended(3, "No traffic was moved")
    finally:
        hosts.sql(
            ground.first,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(120)%' "
            "AND pid <> pg_backend_pid()",
        )
    assert time.monotonic() - began < 100
    # The revision before it was whole, and stays; customers have what they had.
    assert hosts.sql(ground.first, APPLIED) in (before, ADD[0])
    assert ground.live() == live


def test_a_process_that_the_kernel_ends_for_memory_does_not_stop_the_release(ground: Ground) -> None:
    """OOMPolicy=continue: systemd's default would stop every process of the unit for it."""
    host, unit = ground.first, hosts.live_unit(ground.first)

    def shown(name: str) -> str:
        return hosts.output(host, f"systemctl show --property={name} --value {unit}").strip()

    assert shown("OOMPolicy") == "continue"
    if not shown("MemoryCurrent").isdecimal():
        pytest.skip("this kernel counts no memory for a host's units (no cgroup2 with the memory controller)")
    main, restarts, group = shown("MainPID"), shown("NRestarts"), f"/sys/fs/cgroup{shown('ControlGroup')}"
    limit = int(shown("MemoryCurrent")) + (150 << 20)
    hog = f"import os; open('{group}/cgroup.procs', 'w').write(str(os.getpid())); bytearray({400 << 20}); print('all')"
    with ground.shop().load(RATE) as load:
        hosts.output(host, f"systemctl set-property --runtime {unit} MemoryHigh=infinity MemoryMax={limit}")
        try:
            assert "all" not in hosts.output(host, f'python3 -c "{hog}" || echo killed')
            hosts.until(
                "the kernel's end is counted",
                lambda: "oom_kill 0" not in hosts.output(host, f"cat {group}/memory.events"),
                seconds=10,
            )
            time.sleep(2)
        finally:
            hosts.output(host, f"systemctl revert {unit}")
    load.seen.lost_nothing()
    assert (shown("ActiveState"), shown("MainPID"), shown("NRestarts")) == ("active", main, restarts)


def test_a_dropped_column_ends_in_a_refusal_and_not_in_an_outage(ground: Ground, tmp_path: Path) -> None:
    old, before = ground.live(), ADD[0]
    bundle, new = release_with(tmp_path, ADD, DROP)
    # A deploy leaves it: the release that is live needs the old shape until the moment of the switch, and to go back.
    ground.fab.run("deploy", f"--bundle={bundle}", "--plan").ended(0, "held back: aaaaaaaaaaa9")
    ground.fab.deploy(bundle).ended(0, f"{new} is live on every app host", "lost=0")
    assert hosts.sql(ground.first, APPLIED) == before
    ground.fab.run("migrate").ended(0, f"{new} has nothing to apply", "Held back: aaaaaaaaaaa9")
    ground.fab.run("migrate-plan").ended(
        0, "aaaaaaaaaaa9", "left to fab migrate --contract", "ACCESS EXCLUSIVE on products"
    )
    # A commit from before them does not know the schema that is there by now.
    ground.fab.run("migrate-plan", "--ref=HEAD").ended(
        2, "which commit", "does not know", "Nothing was changed"
    )
    # While the one before it is kept, a rollback could go there.
    ground.fab.run("migrate", "--contract").ended(2, f"{old} needs what aaaaaaaaaaa9", "Nothing was changed")
    kept = [row["release"] for row in slipway(ground.first, "list")["releases"] if row["release"] != new]
    for release in kept:
        slipway(ground.first, "mark-bad", release, "--reason=not-to-be-gone-back-to")
    ground.fab.run("migrate", "--contract").ended(0, f"from {before} to aaaaaaaaaaa9", "Before that: Backup")
    ground.fab.run("migrate-history").ended(0, "aaaaaaaaaaa9", "contract", new)
    for release in kept:
        ground.clear(release)
    ground.fab.run("rollback", f"--to={old}").ended(
        2, f"{old} cannot be gone back to", "took away what it needs", "Nothing was changed"
    )
    assert ground.live() == new
    assert ground.site.get("/api/v1/products").status == 200


def staged(ground: Ground, bundle: Path) -> None:
    """Bring a release to the host as a deploy does, without a deploy."""
    remote = Remote(environment.load(ground.fab.name).app_hosts[0])
    remote.open()
    try:
        answer = remote.ship(shipping.whole(bundle), [f"--sha256={wheels.sha256(bundle)}"], 300)
    finally:
        remote.close()
    assert answer.ok, answer.message


def watched(started: Started) -> Iterator[str]:
    """The lines of a command as they come, while it goes on."""
    assert started.process.stdout is not None
    yield from started.process.stdout


def cut_the_sessions(host: Host) -> None:
    """Every connection of the user who deploys breaks, as when a network goes."""
    hosts.output(
        host, "ps -eo pid,args | awk '/sshd: deploy/ && !/awk/ {print $1}' | xargs --no-run-if-empty kill -9"
    )


def test_whoever_migrates_sees_what_happens_and_the_history_keeps_it(ground: Ground, tmp_path: Path) -> None:
    later = ("aaaaaaaaaab1", "expand", "ALTER TABLE shop.products ADD COLUMN later text")
    bundle, new = release_with(tmp_path, ADD, DROP, later)
    plan = ground.fab.run("migrate-plan", f"--bundle={bundle}", "--sql")
    plan.ended(0, f"{new} would apply", later[0], "ACCESS EXCLUSIVE on products", later[2])
    staged(ground, bundle)
    said = []
    with ExitStack() as held:
        held.enter_context(locked(ground.first))
        started = ground.fab.start("migrate", f"--release={new}", "--ticket=OPS-7")
        for line in watched(started):
            said.append(line)
            if "try 2 in" in line:
                assert started.running
                assert hosts.sql(ground.first, APPLIED) == DROP[0]
                held.close()
    assert started.process.wait() == 0, said
    told = "".join(said)
    for part in (
        "Before",
        f"{later[0]} begins: expand {later[0]} (expand)",
        "waits for a lock; in the way is pid",
        "role postgres, psql, active for",
        f"{later[0]} applied in",
        "under ACCESS EXCLUSIVE on products",
        f"went from {DROP[0]} to {later[0]}",
    ):
        assert part in told, told
    ground.fab.run("migrate-history").ended(
        0, later[0], "OPS-7", "ACCESS EXCLUSIVE on products", "in the way"
    )
    newest = json.loads(ground.fab.run("migrate-history", "--json", "--limit=1").ended(0).output)["entries"][
        0
    ]
    assert (newest["revision"], newest["release"], newest["run"]["ticket"]) == (later[0], new, "OPS-7")
    assert newest["tries"] >= 2
    assert newest["run"]["backup"].startswith("Backup ")
    assert newest["run"]["blocked_by"][0]["application"] == "psql"


def test_a_migration_goes_on_without_its_connection_and_the_next_says_how_it_ended(
    ground: Ground, tmp_path: Path
) -> None:
    later = ("aaaaaaaaaab1", "expand", "ALTER TABLE shop.products ADD COLUMN later text")
    last = ("aaaaaaaaaab2", "expand", "ALTER TABLE shop.products ADD COLUMN last text")
    bundle, new = release_with(tmp_path, ADD, DROP, later, last)
    staged(ground, bundle)
    words = ("migrate", f"--release={new}", "--no-backup")
    with ExitStack() as held:
        held.enter_context(locked(ground.first))
        started = ground.fab.start(*words)
        said = []
        for line in watched(started):
            said.append(line)
            if "in the way is" in line:
                cut_the_sessions(ground.first)
        assert started.process.wait() == 6, said
        assert "goes on in its unit" in "".join(said)
        again = ground.fab.start(*words)
        told = []
        for line in watched(again):
            told.append(line)
            if "still runs" in line:
                held.close()
    assert again.process.wait() == 0, told
    for part in (
        f"that of {new}, begun by",
        f"{last[0]} applied in",
        f"it ended well, on {last[0]}",
        "nothing to apply",
    ):
        assert part in "".join(told), told
    assert hosts.sql(ground.first, APPLIED) == last[0]
    entries = json.loads(ground.fab.run("migrate-history", "--json").ended(0).output)["entries"]
    assert [(entry["revision"], entry["result"]) for entry in entries if entry["release"] == new] == [
        (last[0], "applied")
    ]
