"""A backfill of a host that serves: begun, watched, cut off, paused, killed and ended from the controller."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from fabfile.database import units
from tests.e2e import hosts
from tests.e2e.broken_releases import filling
from tests.e2e.fab_runs import release_of
from tests.e2e.ground import Ground, entries, ground_of, slipway
from tests.e2e.test_migrations import cut_the_sessions, watched
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

ROWS = 1500
TABLE = f"""
    CREATE TABLE shop.numbers (id bigint PRIMARY KEY, doubled bigint, touched int NOT NULL DEFAULT 0);
    INSERT INTO shop.numbers (id) SELECT * FROM generate_series(1, {ROWS});
    CREATE TABLE shop.pace (seconds float8); INSERT INTO shop.pace VALUES (0.3);
    ANALYZE shop.numbers; GRANT ALL ON shop.numbers, shop.pace TO shop
"""
# Slow enough to be seen: two thirds of a second a batch, with the rest after it; until there is no more to see.
DECLARED = """
    "double": Backfill(
        "double", "numbers", "id", "bigint",
        "UPDATE numbers SET doubled = id * 2, touched = touched + 1 "
        "FROM (SELECT pg_sleep(seconds) FROM pace) AS s WHERE {keys}",
        "doubled IS NULL", 15,
    )
"""
COUNTS = "SELECT concat_ws(' ', count(*) FILTER (WHERE doubled = id * 2), max(touched)) FROM shop.numbers"


@pytest.fixture(scope="module")
def ground(spoilt: Host, lab: Lab, site: Site) -> Ground:
    """One host that serves, and a table to be filled."""
    return ground_of(lab, site)


def test_a_backfill_is_steered_from_the_controller_and_changes_each_row_once(
    ground: Ground, tmp_path: Path
) -> None:
    first, fab, bundle = ground.first, ground.fab, filling(tmp_path, DECLARED)
    hosts.sql(first, TABLE)
    release = release_of(bundle)
    fab.run("backfill-status").ended(0, "declares no backfill")
    fab.deploy(bundle).ended(0, f"{release} is live on every app host")
    fab.run("backfill-status").ended(0, "not begun", "fab backfill-run double")
    fab.run("backfill-run", "none").ended(
        3, "There is no backfill 'none' in this release; it declares double"
    )
    # A cut connection is made anew; whoever stops watching ends nothing, and a second run is refused.
    started = fab.start("backfill-run", "double")
    said = []
    for line in watched(started):
        said.append(line)
        if "a second" not in line:
            continue
        told = sum("a second" in each for each in said)
        if told == 1:
            cut_the_sessions(first)
        elif told == 2:
            started.signal(signal.SIGINT)
    assert started.process.wait() == 6, said
    assert "needs nobody who watches" in "".join(said)
    fab.run("backfill-status").ended(0, "running", "numbers")
    fab.run("backfill-run", "double").ended(2, "double runs already", "Nothing was changed")
    fab.run("backfill-pause", "double").ended(0, "double is paused", "fab backfill-resume double")
    unit = f"shop-backfill@{release}.service"
    active = f"systemctl show --property=ActiveState --value {unit}"
    hosts.until("the run has ended", lambda: hosts.output(first, active).strip() == "inactive", seconds=30)
    fab.run("backfill-status").ended(0, "paused", "fab backfill-resume double")
    fab.run("backfill-run", "double").ended(0, "is paused after")
    # A kill loses nothing that was done.
    fab.run("backfill-resume", "double", "--no-watch").ended(0, "double runs on")
    hosts.output(first, f"systemctl kill --signal=KILL {unit}")
    hosts.until("it is dead", lambda: hosts.output(first, active).strip() == "failed", seconds=30)
    fab.run("backfill-status").ended(0, "stopped", "fab backfill-run double")
    hosts.sql(first, "UPDATE shop.pace SET seconds = 0")
    fab.run("backfill-run", "double").ended(0, f"double is done: {units.count(ROWS)} rows")
    fab.run("backfill-status").ended(0, "done", "100")
    assert hosts.sql(first, COUNTS) == f"{ROWS} 1"
    done = [
        entry["details"]["do"]
        for entry in entries(first, "backfill", phase="end")
        if entry["who"].endswith("deploy")
    ]
    assert done == ["run", "run", "pause", "run", "resume", "run"]
    slipway(first, "journal", "--verify")
    ground.is_whole()
    hosts.sql(first, "DROP TABLE shop.numbers, shop.pace")
