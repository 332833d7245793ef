"""Physical backups of a real server by the real pgBackRest: what they hold, and what is told of them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.database.physical_ground import Ground, ground


@pytest.fixture(scope="module")
def shop() -> Iterator[Ground]:
    """A server with a repository and a first full backup."""
    with ground(prepared=True) as made:
        yield made


def test_a_second_preparation_changes_nothing(shop: Ground) -> None:
    assert shop.done("prepare") == {"changed": False, "done": [], "waits": "", "fresh": False}


def test_a_table_that_was_dropped_is_back_twice_in_a_row_and_the_live_one_is_left_alone(shop: Ground) -> None:
    for name in ("once", "twice"):
        shop.sql("CREATE TABLE shop.kept AS SELECT generate_series(1, 1000) AS id")
        before = shop.now()
        time.sleep(0.05)
        shop.sql("DROP TABLE shop.kept")
        result = shop.done("restore", f"--time={before}", f"--into={name}")
        assert shop.in_side(name, "SELECT count(*) FROM shop.kept") == "1000"
        assert shop.sql("SELECT to_regclass('shop.kept')") is None
        assert result["seconds"] > 0
    assert shop.names() == ["once", "twice"]
    for name in ("once", "twice"):
        shop.done("drop", f"--into={name}")
    assert shop.names() == []


def test_one_table_comes_back_as_a_table_beside_the_live_one(shop: Ground) -> None:
    shop.sql(
        'CREATE TABLE shop."order" (id int PRIMARY KEY, word text COLLATE "C", '
        "twice int GENERATED ALWAYS AS (id * 2) STORED)"
    )
    shop.sql("INSERT INTO shop.\"order\" SELECT id, repeat('x', id % 7) FROM generate_series(1, 1000) AS id")
    before = shop.now()
    time.sleep(0.05)
    shop.sql('DELETE FROM shop."order" WHERE id > 10')
    shop.done("restore", f"--time={before}", "--into=rescue")

    result = shop.done("table", "--into=rescue", "--table=shop.order")
    assert (result["table"], result["rows"]) == ("restored.order", 1000)
    assert shop.sql('SELECT sum(twice) FROM restored."order"') == 1001000
    assert shop.sql('SELECT count(*) FROM shop."order"') == 10
    owners = "SELECT relowner = nspowner FROM pg_class, pg_namespace WHERE nspname = 'shop'"
    assert shop.sql(f"{owners} AND pg_class.oid = 'restored.\"order\"'::regclass") is True

    assert "is there already" in shop.refused(2, "table", "--into=rescue", "--table=shop.order")
    assert "no table shop.orderz then" in shop.refused(2, "table", "--into=rescue", "--table=shop.orderz")
    assert "no table with its schema" in shop.refused(2, "table", "--into=rescue", "--table=shop.a;b")
    assert "no restored cluster 'other'; there is rescue" in shop.refused(
        2, "table", "--into=other", "--table=shop.order"
    )
    shop.sql("DROP SCHEMA restored CASCADE")
    shop.done("drop", "--into=rescue")


def test_a_table_that_cannot_come_back_whole_does_not_come_at_all(shop: Ground) -> None:
    shop.sql("CREATE TYPE shop.mood AS ENUM ('good', 'bad')")
    shop.sql("CREATE TABLE shop.moods AS SELECT 'good'::shop.mood AS mood FROM generate_series(1, 10)")
    before = shop.now()
    time.sleep(0.05)
    shop.sql("DROP TABLE shop.moods")
    shop.sql("DROP TYPE shop.mood")
    shop.done("restore", f"--time={before}", "--into=rescue")
    said = shop.refused(3, "table", "--into=rescue", "--table=shop.moods")
    assert 'type "shop.mood" does not exist' in said
    assert "The live database is as it was" in said
    assert shop.sql("SELECT to_regnamespace('restored')") is None
    shop.done("drop", "--into=rescue")


def test_a_table_whose_rows_end_too_early_does_not_come_at_all(shop: Ground) -> None:
    shop.sql("CREATE TABLE shop.numbers AS SELECT generate_series(1, 1000) AS id")
    shop.done("restore", "--latest", "--into=rescue")
    psql = shop.directory / "bin/psql"
    real = psql.resolve()
    psql.unlink()
    # A header of 19 bytes and five rows of ten: for the server, a stream that ended well.
    psql.write_text(
        f'#!/bin/sh\ncase "$*" in *"TO STDOUT"*) {real} "$@" | head -c 69 ;; *) exec {real} "$@" ;; esac\n'
    )
    psql.chmod(0o755)
    said = shop.refused(3, "table", "--into=rescue", "--table=shop.numbers")
    psql.unlink()
    psql.symlink_to(real)
    assert "5 rows came, of 1000" in said
    assert shop.sql("SELECT to_regnamespace('restored')") is None
    shop.done("drop", "--into=rescue")


def test_a_restore_ends_just_before_a_transaction_and_at_a_named_point(shop: Ground) -> None:
    shop.done("point", "--name=before-the-sale", "--reason=a test")
    xid = shop.sql("INSERT INTO shop.accounts VALUES (900, 'late') RETURNING pg_current_xact_id()::text")
    shop.done("restore", f"--xid={xid}", "--into=by_xid")
    shop.done("restore", "--name=before-the-sale", "--into=by_name")
    shop.done("restore", "--latest", "--into=newest")
    counted = "SELECT count(*) FROM shop.accounts WHERE id = 900"
    assert [shop.in_side(name, counted) for name in ("by_xid", "by_name", "newest")] == ["0", "0", "1"]
    for name in shop.names():
        shop.done("drop", f"--into={name}")


def test_what_cannot_be_restored_is_refused_before_anything_is_made(shop: Ground) -> None:
    assert "is before that" in shop.refused(2, "restore", "--time=2020-01-01T00:00:00Z")
    assert "is in the future" in shop.refused(2, "restore", "--time=2100-01-01T00:00:00Z")
    assert "no moment with its zone" in shop.refused(2, "restore", "--time=2026-01-01")
    assert "no name for a restored cluster" in shop.refused(2, "restore", "--latest", "--into=../data")
    shop.configure(key="another key than the one that made it")
    wrong = shop.refused(2, "restore", "--latest")
    shop.configure(stanza="other")
    other = shop.refused(2, "restore", "--latest")
    shop.configure()
    assert "Either the key on this host is not the one that made it" in wrong
    assert "holds nothing of other" in other
    assert shop.names() == []


def test_a_plan_says_what_will_be_lost_and_how_much_room_it_takes(shop: Ground) -> None:
    shop.archived()
    moment = shop.now()
    time.sleep(2.1)
    found = shop.done("plan", f"--time={moment}")
    assert 2 <= found["lost_seconds"] <= 30
    assert found["needed"] < found["room"]
    assert found["backup"] in found["said"]
    assert shop.names() == []


def test_a_restore_test_counts_and_checks_what_came_back_and_leaves_nothing(shop: Ground) -> None:
    result = shop.done("restore-test")
    assert result["exact"] is True
    assert result["tables"]["shop.orders"] == 500
    mark = shop.mark("restore-test")
    assert (mark["ok"], mark["file"]) == (True, result["backup"])
    assert shop.names() == []


def test_differential_backups_stand_on_the_full_one(shop: Ground) -> None:
    made = shop.done("backup", "--type=diff")
    assert made["kind"] == "diff"
    assert shop.mark("latest")["file"] == made["label"]
    assert [each["kind"] for each in shop.done("list")["backups"]] == ["full", "diff"]
