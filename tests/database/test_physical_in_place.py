"""A restore in the place of the live cluster: what was live is kept, and a killed run is made good by the next."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.database.physical_ground import Ground, ground
from tests.database.test_physical_faults import killed

TOTAL = "SELECT count(*) FROM shop.accounts"


@pytest.fixture
def shop() -> Iterator[Ground]:
    """A server with a repository and a first full backup, of its own."""
    with ground(prepared=True) as made:
        yield made


def spoilt(shop: Ground) -> str:
    """Rows are lost; the moment before."""
    shop.archived()
    before = shop.now()
    time.sleep(0.05)
    shop.sql("TRUNCATE shop.accounts CASCADE")
    return before


def kept(shop: Ground) -> list[Path]:
    return sorted(shop.directory.glob("data.before-*"))


def test_the_live_cluster_goes_back_and_archiving_goes_on_and_what_it_undid_can_be_had(shop: Ground) -> None:
    before = spoilt(shop)
    result = shop.done("in-place", f"--time={before}", "--database=shop")
    assert shop.sql(TOTAL) == 50
    assert result["timeline"] == "00000002"
    assert [str(path) for path in kept(shop)] == [result["kept"]]
    assert shop.names() == []
    found = shop.done("list")
    assert found["gaps"] == []
    assert found["backups"][-1]["label"] == result["backup_after"]
    shop.sql("INSERT INTO shop.accounts VALUES (900, 'later')")
    shop.done("restore", "--latest", "--into=newest")
    assert shop.in_side("newest", TOTAL) == "51"
    # What was undone lies on the timeline before.
    shop.done("restore", f"--name={result['safety']}", "--into=undone")
    assert shop.in_side("undone", TOTAL) == "0"
    assert shop.done("restore-test")["exact"] is True
    shop.done("prepare")


def test_what_cannot_be_put_in_place_is_refused_while_the_live_one_goes_on(shop: Ground) -> None:
    began = shop.sql("SELECT pg_postmaster_start_time()::text")
    assert "was typed" in shop.refused(2, "in-place", "--latest", "--database=shopp")
    early = "--time=2020-01-01T00:00:00Z"
    assert "is before that" in shop.refused(2, "in-place", early, "--database=shop")
    spaces = shop.data / "pg_tblspc/16999"
    spaces.symlink_to("/nonexistent")
    assert "has tablespaces" in shop.refused(2, "in-place", "--latest", "--database=shop")
    spaces.unlink()
    shop.configure(key="another key than the one that made it")
    assert "Either the key" in shop.refused(2, "in-place", "--latest", "--database=shop")
    shop.configure()
    assert kept(shop) == []
    assert shop.sql("SELECT pg_postmaster_start_time()::text") == began


def test_a_moment_that_is_not_reached_leaves_the_live_cluster_as_it_was(shop: Ground) -> None:
    began = shop.sql("SELECT pg_postmaster_start_time()::text")
    said = shop.refused(3, "in-place", "--name=a-point-that-nobody-set", "--database=shop")
    assert "recovery ended before configured recovery target was reached" in said
    assert "the live cluster and the repository are as they were" in said
    assert (shop.names(), kept(shop)) == ([], [])
    assert shop.sql("SELECT pg_postmaster_start_time()::text") == began


def test_one_that_does_not_start_in_its_place_gives_way_to_what_was_live(shop: Ground) -> None:
    before = spoilt(shop)
    control = shop.directory / "control"
    whole = control.read_text()
    once = f'if [ "$1" = start ] && ! [ -e {shop.directory}/failed ]; then touch {shop.directory}/failed; exit 1; fi\n'
    control.write_text(whole.replace("#!/bin/sh\n", f"#!/bin/sh\n{once}"))
    assert "What was live before is live again" in shop.refused(
        3, "in-place", f"--time={before}", "--database=shop"
    )
    assert (shop.sql(TOTAL), kept(shop), shop.names()) == (0, [], [])
    shop.done("in-place", f"--time={before}", "--database=shop")
    assert shop.sql(TOTAL) == 50


@pytest.mark.parametrize("step", ["fetched", "stopped", "kept", "exchanged", "started"])
def test_one_that_was_killed_is_undone_or_finished_by_the_next(shop: Ground, step: str) -> None:
    before = spoilt(shop)
    words = ("in-place", f"--time={before}", "--database=shop")
    if step == "fetched":
        killed(shop, words, "sides/in_place/data/PG_VERSION")
        assert shop.sql(TOTAL) == 0
    else:
        cut(shop, words, step)
    result = shop.done(*words)
    assert shop.sql(TOTAL) == 50
    assert len(kept(shop)) == 1
    assert ("A run that was cut off is finished" in result["detail"]) is (step in ("exchanged", "started"))
    assert shop.names() == []
    assert shop.done("list")["gaps"] == []


def cut(shop: Ground, words: tuple[str, ...], step: str) -> None:
    """Kill the run at a step of the exchange: whoever starts and stops the server does it, before or after that."""
    control = shop.directory / "control"
    whole = control.read_text()
    action, after = {"stopped": ("stop", True), "kept": ("stop", True), "exchanged": ("start", False),
                     "started": ("start", True)}[step]  # fmt: skip
    kill = "kill -9 $PPID"
    run = whole.splitlines()[1].removeprefix("exec ")
    more = f"mv {shop.data} {shop.data}.before-20260101T000000Z; " if step == "kept" else ""
    lines = [f"{run}; {kill}" if after else kill]
    control.write_text(f'#!/bin/sh\nif [ "$1" = {action} ]; then {"; ".join(lines)}; exit; fi\n{run}\n')
    begun = shop.begin(*words)
    begun.communicate()
    assert begun.returncode == -signal.SIGKILL
    if more:
        journal = shop.mark("in-place")
        os.rename(shop.data, journal["kept"])
    control.write_text(whole)
