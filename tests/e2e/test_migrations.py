"""Migrations of a host that serves: behind somebody's lock, and what takes away what earlier releases need."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e import hosts
from tests.e2e.broken_releases import migrating
from tests.e2e.fab_runs import release_of
from tests.e2e.ground import RATE, Ground, entries, ground_of, slipway
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

APPLIED = "SELECT version_num FROM shop.alembic_version"
ADD = ("aaaaaaaaaaa1", "expand", "ALTER TABLE shop.products ADD COLUMN note text")


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


def test_a_migration_behind_a_lock_holds_up_no_customer_and_succeeds_when_it_is_free(
    ground: Ground, tmp_path: Path
) -> None:
    bundle, new = release_with(tmp_path, ADD)
    shop, before = ground.shop(), hosts.sql(ground.first, APPLIED)

    def journal() -> str:
        return hosts.journal(ground.first, f"shop-migrate@{new}", lines=200)

    with shop.load(RATE) as load:
        with locked(ground.first):
            started = ground.fab.start("deploy", f"--bundle={bundle}", "--bake=0")
            waits = "the migration has waited for the lock"
            hosts.until(waits, lambda: "migration_waits_for_lock" in journal(), seconds=240, show=journal)
        started.wait().ended(0, f"{new} is live on every app host", "lost=0")
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
    assert (ground.live(), hosts.sql(ground.first, APPLIED)) == (live, before)
    columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'products' AND column_name = 'half'"
    assert hosts.sql(ground.first, columns) == "0"
    assert slipway(ground.first, "list")["releases"][0]["release"] == new


def test_a_dropped_column_ends_in_a_refusal_and_not_in_an_outage(ground: Ground, tmp_path: Path) -> None:
    old, before = ground.live(), ADD[0]
    drop = ("aaaaaaaaaaa9", "contract", "ALTER TABLE shop.products DROP COLUMN note")
    bundle, new = release_with(tmp_path, ADD, drop)
    # A deploy leaves it: the release that is live needs the old shape until the moment of the switch, and to go back.
    ground.fab.run("deploy", f"--bundle={bundle}", "--plan").ended(0, "held back: aaaaaaaaaaa9")
    ground.fab.deploy(bundle).ended(0, f"{new} is live on every app host", "lost=0")
    assert hosts.sql(ground.first, APPLIED) == before
    ground.fab.run("migrate").ended(0, f"{new} has nothing to apply", "Held back: aaaaaaaaaaa9")
    ground.fab.run("migrate-plan").ended(
        0, "aaaaaaaaaaa9", "left to fab migrate --contract", "ACCESS EXCLUSIVE on products"
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
