"""What postgresql_state refuses, and what it says when it cannot finish."""

from __future__ import annotations

from tests.unit.plugins.test_postgresql_example import SHOP, shop
from tests.unit.plugins.test_postgresql_harness import Postgres
from tests.unit.plugins.test_postgresql_state import snapshot

pytest_plugins = ["tests.unit.plugins.test_postgresql_harness"]


def test_a_database_with_another_locale_is_refused_untouched(postgres: Postgres) -> None:
    postgres.sql("CREATE DATABASE shop ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    before = snapshot(postgres)
    message = postgres.refusal(SHOP)
    assert "Refused before anything was changed" in message
    assert "exists as LATIN1 with lc_collate C and lc_ctype C, but UTF8 with lc_collate C.UTF-8" in message
    assert "pg_dump" in message
    assert snapshot(postgres) == before
    assert postgres.refusal(SHOP, check=True) == message


def test_everything_wrong_is_named_before_anything_changes(postgres: Postgres) -> None:
    before = snapshot(postgres)
    wanted = shop()
    wanted["roles"] += [{"name": "pg_fake"}, {"name": "postgres"}, {"name": "x" * 64}, {"name": "shop"}]
    wanted["roles"][2]["settings"]["bad name"] = "x"
    message = postgres.refusal(wanted)
    for part in ("PostgreSQL reserves that name", "the superuser that this module connects as", "64 bytes long",
                 "roles states shop more than once", "'bad name' is not the name of a PostgreSQL setting"):  # fmt: skip
        assert part in message
    assert snapshot(postgres) == before


def test_what_is_neither_there_nor_stated_is_named(postgres: Postgres) -> None:
    wanted = shop()
    wanted["databases"][0]["connect"].append("nobody")
    wanted["extensions"].append({"database": "shop", "name": "no_such_extension"})
    wanted["schemas"].append({"database": "shpo", "name": "shop", "owner": "shop_owner"})
    message = postgres.refusal(wanted)
    assert "Role nobody (connect of database shop) neither exists nor is stated" in message
    assert "Extension no_such_extension is not on this host" in message
    assert "Database shpo (schemas) neither exists nor is stated" in message


def test_a_failing_statement_says_what_stays_and_the_next_run_goes_on(postgres: Postgres) -> None:
    wanted = shop()
    wanted["databases"][0]["settings"]["work_mem"] = "lots"
    message = postgres.refusal(wanted)
    assert "Could not set work_mem of database shop to lots: invalid value" in message
    assert "were rolled back. Committed before that: create role shop_owner;" in message
    assert "SCRAM" not in message
    answer = postgres.state(SHOP)
    assert "create database shop" not in answer["statements"]
    assert not postgres.state(SHOP)["changed"]


def test_an_unknown_argument_is_refused(postgres: Postgres) -> None:
    message = postgres.refusal({"roles": [{"name": "shop", "supperuser": True}]})
    assert "supperuser" in message


def test_another_cluster_on_the_port_is_refused(postgres: Postgres) -> None:
    message = postgres.refusal({"version": "99"})
    assert f"The server that answers is PostgreSQL {postgres.version}" in message
    assert "not 99" in message


def test_a_stopped_server_is_a_sentence_with_its_unit(postgres: Postgres) -> None:
    postgres.stop()
    message = postgres.refusal(SHOP)
    assert f"PostgreSQL {postgres.version}/test cannot be asked on port 5432" in message
    assert f"systemctl status postgresql@{postgres.version}-test" in message


def test_a_bare_host_in_check_mode_reports_everything_it_would_create(postgres: Postgres) -> None:
    would = postgres.state(SHOP, check=True)["statements"]
    postgres.stop()
    answer = postgres.state(SHOP | {"cluster_may_be_missing": True}, check=True)
    assert answer["statements"] == would
    assert answer["facts"] == {"reachable": False}
    assert "cannot be asked" in postgres.refusal(SHOP | {"cluster_may_be_missing": True})


def test_a_host_without_the_os_user_is_a_bare_host(postgres: Postgres) -> None:
    bare = {"cluster_may_be_missing": True, "admin_os_user": "nobody-of-that-name"}
    assert postgres.state(SHOP | bare, check=True)["changed"]
    assert "the OS user nobody-of-that-name does not exist on this host" in postgres.refusal(SHOP | bare)


def test_a_standby_that_differs_is_refused(postgres: Postgres) -> None:
    postgres.state(SHOP)
    postgres.stop()
    (postgres.data / "standby.signal").touch()
    postgres.start()
    assert not postgres.state(SHOP)["changed"]
    wanted = shop()
    wanted["roles"][2]["connection_limit"] = 61
    message = postgres.refusal(wanted)
    assert "This server is a standby" in message
    assert "alter role shop: connection limit 61" in message


def test_what_cannot_be_mended_is_named_instead_of_changed_for_ever(postgres: Postgres) -> None:
    postgres.state(SHOP)
    postgres.sql(
        "CREATE ROLE analyst",
        "GRANT USAGE ON SCHEMA shop TO analyst",
        "CREATE TABLE shop.orders (id int)",
        "ALTER TABLE shop.orders OWNER TO shop_owner",
        "GRANT TRUNCATE ON shop.orders TO analyst WITH GRANT OPTION",
        "SET ROLE analyst",
        "GRANT TRUNCATE ON shop.orders TO shop",
        database="shop",
    )
    message = postgres.refusal(SHOP)
    assert "still differs: revoke TRUNCATE on table shop.shop.orders from shop" in message
    assert "granted by someone other than the owner" in message
