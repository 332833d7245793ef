"""Whatever someone changes by hand, the next run puts right and names."""

from __future__ import annotations

import pytest

from tests.unit.plugins.test_postgresql_example import SHOP
from tests.unit.plugins.test_postgresql_harness import Postgres

pytest_plugins = ["tests.unit.plugins.test_postgresql_harness"]

DRIFT = {
    "an extra attribute": ("ALTER ROLE shop CREATEDB", "alter role shop: createdb off"),
    "a superuser": ("ALTER ROLE shop SUPERUSER", "alter role shop: superuser off"),
    "a lost attribute": ("ALTER ROLE shop NOLOGIN", "alter role shop: login on"),
    "another connection limit": (
        "ALTER ROLE shop CONNECTION LIMIT 5",
        "alter role shop: connection limit 60",
    ),
    "an extra membership": ("GRANT pg_write_all_data TO shop", "revoke pg_write_all_data from shop"),
    "a lost membership": ("REVOKE pg_monitor FROM slipway_ops", "grant pg_monitor to slipway_ops"),
    "a changed setting": (
        "ALTER ROLE shop SET statement_timeout = '1h'",
        "set statement_timeout of role shop to 10s",
    ),
    "an extra setting": ("ALTER ROLE shop SET work_mem = '1GB'", "reset work_mem of role shop"),
    "an extra setting in one database": (
        "ALTER ROLE shop IN DATABASE shop SET role = 'shop_owner'",
        "reset role of role shop in database shop",
    ),
    "an extra setting of the database": (
        "ALTER DATABASE shop SET work_mem = '1GB'",
        "reset work_mem of database shop",
    ),
    "the database's owner": ("ALTER DATABASE shop OWNER TO shop", "give database shop to shop_owner"),
    "the database's limit": (
        "ALTER DATABASE shop CONNECTION LIMIT 7",
        "alter database shop: connection limit -1",
    ),
    "a lost CONNECT": ("REVOKE CONNECT ON DATABASE shop FROM shop", "grant CONNECT on database shop to shop"),
    "a CONNECT for everybody": (
        "GRANT CONNECT ON DATABASE shop TO PUBLIC",
        "revoke CONNECT on database shop from PUBLIC",
    ),
    "a CREATE on the database": (
        "GRANT CREATE ON DATABASE shop TO shop",
        "revoke CREATE on database shop from shop",
    ),
    "the schema's owner": ("ALTER SCHEMA shop OWNER TO shop", "give schema shop.shop to shop_owner"),
    "a CREATE in the schema": (
        "GRANT CREATE ON SCHEMA shop TO shop",
        "revoke CREATE on schema shop.shop from shop",
    ),
    "a CREATE in public for everybody": (
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
        "revoke CREATE on schema shop.public from PUBLIC",
    ),
    "a CREATE in public": (
        "GRANT CREATE ON SCHEMA public TO shop",
        "revoke CREATE on schema shop.public from shop",
    ),
    "an extension elsewhere": (
        "ALTER EXTENSION pg_stat_statements SET SCHEMA shop",
        "move extension shop.pg_stat_statements to schema public",
    ),
    "a lost extension": ("DROP EXTENSION pg_stat_statements", "create extension shop.pg_stat_statements"),
    "a lost grant on a table": (
        "REVOKE UPDATE ON shop.orders FROM shop",
        "grant UPDATE on table shop.shop.orders to shop",
    ),
    "an extra grant on a table": (
        "GRANT TRUNCATE ON shop.orders TO shop",
        "revoke TRUNCATE on table shop.shop.orders from shop",
    ),
    "a table for everybody": (
        "GRANT SELECT ON shop.orders TO PUBLIC",
        "revoke SELECT on table shop.shop.orders from PUBLIC",
    ),
    "a grant that may be passed on": (
        "GRANT SELECT ON shop.orders TO shop WITH GRANT OPTION",
        "revoke the grant option for SELECT on table shop.shop.orders from shop",
    ),
    "a lost default privilege": (
        "ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA shop REVOKE INSERT ON TABLES FROM shop",
        "grant INSERT on future tables of shop_owner in schema shop.shop to shop",
    ),
    "a lost grant on a catalog view": (
        "REVOKE SELECT ON pg_hba_file_rules FROM slipway_ops",
        "grant SELECT on table shop.pg_catalog.pg_hba_file_rules to slipway_ops",
    ),
}


@pytest.fixture(scope="module")
def converged(shared_postgres: Postgres) -> Postgres:
    """A server that holds the shop with a table in it."""
    shared_postgres.state(SHOP)
    shared_postgres.sql(
        "SET ROLE shop_owner",
        "CREATE TABLE shop.orders (id int GENERATED ALWAYS AS IDENTITY)",
        database="shop",
    )
    assert not shared_postgres.state(SHOP)["changed"], "default privileges did not do for the new table"
    return shared_postgres


@pytest.mark.parametrize(("change", "label"), DRIFT.values(), ids=DRIFT.keys())
def test_drift_is_mended_by_one_statement_that_says_so(converged: Postgres, change: str, label: str) -> None:
    converged.sql(change, database="shop")
    answer = converged.state(SHOP)
    assert label in answer["statements"]
    assert answer["diff"]["before"] != answer["diff"]["after"]
    again = converged.state(SHOP)
    assert not again["changed"], f"a second run changed: {again['statements']}"


def test_the_diff_reads_as_what_was_and_what_is(converged: Postgres) -> None:
    converged.sql("GRANT TRUNCATE ON shop.orders TO shop", "ALTER ROLE shop CREATEDB", database="shop")
    diff = converged.state(SHOP)["diff"]
    assert diff["before"] == (
        "role shop: createdb on\ntable shop.shop.orders: shop has DELETE, INSERT, SELECT, TRUNCATE, UPDATE\n"
    )
    assert diff["after"] == (
        "role shop: createdb off\ntable shop.shop.orders: shop has DELETE, INSERT, SELECT, UPDATE\n"
    )


def test_roles_that_are_not_stated_keep_what_they_have(converged: Postgres) -> None:
    converged.sql(
        "CREATE ROLE analyst IN ROLE shop_owner",
        "GRANT CONNECT ON DATABASE shop TO analyst",
        "GRANT SELECT ON shop.orders TO analyst",
        database="shop",
    )
    assert not converged.state(SHOP)["changed"]
    assert converged.sql(
        "SELECT has_table_privilege('analyst', 'shop.orders', 'SELECT')", database="shop"
    ) == [(True,)]


def test_nothing_to_change_costs_one_connection_for_the_cluster_and_one_for_its_database(
    converged: Postgres,
) -> None:
    length = len(converged.log)
    assert not converged.state(SHOP)["changed"]
    asked = converged.log[length:]
    assert asked.count("'version', current_setting('server_version')") == 1, asked
    assert asked.count("'schemas', (SELECT") == 1, asked
