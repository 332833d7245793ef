"""What an upgrade would meet is named before it is begun, each with what to do about it; and nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.database.upgrade_ground import Ground, ground


@pytest.fixture(scope="module")
def shop() -> Iterator[Ground]:
    with ground() as made:
        yield made


# What makes it, what ends it, the obstacle's word, and the name that its sentence has.
OBSTACLES = [
    ("SELECT lo_create(7)", "SELECT lo_unlink(7)", "large objects", "1 large objects"),
    (
        "CREATE TABLE told (j json) ;; ALTER TABLE told REPLICA IDENTITY FULL",
        "DROP TABLE told",
        "replica identity",
        "public.told (json)",
    ),
    ("CREATE DATABASE crm", "DROP DATABASE crm", "other databases", "crm"),
    (
        "SELECT pg_create_logical_replication_slot('cdc', 'pgoutput')",
        "SELECT pg_drop_replication_slot('cdc')",
        "replication slots",
        "cdc",
    ),
    ("ALTER SYSTEM SET work_mem = '8MB'", "ALTER SYSTEM RESET work_mem", "settings", "work_mem"),
    (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END' ;; "
        "CREATE TRIGGER loud BEFORE INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION f() ;; "
        "ALTER TABLE shop.orders ENABLE ALWAYS TRIGGER loud",
        "DROP TRIGGER loud ON shop.orders ;; DROP FUNCTION f()",
        "triggers",
        "loud on shop.orders",
    ),
    (
        "CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END' ;; "
        "CREATE EVENT TRIGGER watchful ON ddl_command_end EXECUTE FUNCTION e()",
        "DROP EVENT TRIGGER watchful ;; DROP FUNCTION e()",
        "event triggers",
        "watchful",
    ),
    (
        "CREATE SUBSCRIPTION other CONNECTION 'dbname=none' PUBLICATION p WITH (connect = false)",
        "ALTER SUBSCRIPTION other SET (slot_name = NONE) ;; DROP SUBSCRIPTION other",
        "subscriptions",
        "other",
    ),
]


def each_of(shop: Ground, statements: str) -> None:
    with shop.connect() as connection:
        for statement in statements.split(" ;; "):
            connection.execute(statement.encode())


def test_every_obstacle_is_named_with_what_to_do(shop: Ground) -> None:
    before = shop.obstacles()
    for make, _, _, _ in OBSTACLES:
        each_of(shop, make)
    found = shop.obstacles()
    for _, end, _, _ in reversed(OBSTACLES):
        each_of(shop, end)

    for _, _, what, named in OBSTACLES:
        assert named in found[what], what
        assert named not in before.get(what, ""), what
    assert shop.obstacles() == before


def test_a_table_without_a_key_keeps_the_upgrade_from_being_prepared(shop: Ground) -> None:
    said = shop.refused("prepare")

    assert "name's" in said
    assert "REPLICA IDENTITY FULL" in said
    assert "Nothing was changed." in said
    assert not shop.data(17).exists()
    assert shop.sql("SELECT count(*) FROM pg_publication") == 0


def test_a_setting_that_the_new_server_does_not_know_is_named(shop: Ground) -> None:
    conf = shop.data(14) / "conf.d/more.conf"
    conf.write_text("vacuum_defer_cleanup_age = 7\n")
    try:
        assert "vacuum_defer_cleanup_age" in shop.obstacles()["removed settings"]
    finally:
        conf.unlink()


def test_a_setting_that_the_new_server_knows_and_does_not_list_is_none(shop: Ground) -> None:
    conf = shop.data(14) / "conf.d/more.conf"
    conf.write_text("ignore_checksum_failure = off\n")
    shop.sql("ALTER ROLE shop IN DATABASE shop SET role = 'shop'")
    try:
        assert "removed settings" not in shop.obstacles()
    finally:
        shop.sql("ALTER ROLE shop IN DATABASE shop RESET role")
        conf.unlink()


def test_what_is_not_moved_and_does_no_harm_is_told(shop: Ground) -> None:
    each_of(
        shop,
        "CREATE UNLOGGED TABLE quick (id int PRIMARY KEY) ;; CREATE MATERIALIZED VIEW sums AS SELECT 1 AS one",
    )
    told = {each["what"]: each["say"] for each in shop.done("plan")["obstacles"] if not each["blocks"]}
    each_of(shop, "DROP TABLE quick ;; DROP MATERIALIZED VIEW sums")

    assert "public.quick" in told["unlogged tables"]
    assert "public.sums" in told["materialized views"]


def test_tools_and_programs_that_are_missing_are_named(shop: Ground) -> None:
    shop.configure(physical="yes", new_programs="/nonexistent/bin")
    found = shop.obstacles()
    shop.configure()

    assert "pgBackRest" in found["tools"]
    assert "/nonexistent/bin/postgres" in found["programs"]


@pytest.mark.parametrize("command", ["switch", "back", "finish", "cancel"])
def test_what_is_not_prepared_is_neither_moved_nor_ended(shop: Ground, command: str) -> None:
    assert "othing was changed." in shop.refused(command)
    assert shop.serving() == "14"
