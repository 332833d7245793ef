"""What each role of the shop can do, and cannot."""

from __future__ import annotations

import psycopg
import pytest

from tests.unit.plugins.test_postgresql_example import SHOP
from tests.unit.plugins.test_postgresql_harness import Postgres

pytest_plugins = ["tests.unit.plugins.test_postgresql_harness"]


@pytest.fixture(scope="module")
def shop(shared_postgres: Postgres) -> Postgres:
    """The shop's database with a table that the migration role made."""
    shared_postgres.state(SHOP)
    with shared_postgres.connect("shop_migrate", "shop", "migrate-7f3a") as connection:
        connection.execute("SET ROLE shop_owner")
        connection.execute("CREATE TABLE shop.orders (id int GENERATED ALWAYS AS IDENTITY, sold int)")
        connection.execute("CREATE FUNCTION shop.double(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2'")
    return shared_postgres


def refused(postgres: Postgres, role: str, password: str, statement: str, database: str = "shop") -> str:
    """What the server says to `statement`, which it must refuse."""
    with postgres.connect(role, database, password) as connection, pytest.raises(psycopg.Error) as error:
        connection.execute(statement)
    return str(error.value)


def test_what_the_migration_makes_as_owner_belongs_to_the_owner(shop: Postgres) -> None:
    owners = shop.sql("SELECT tableowner FROM pg_tables WHERE schemaname = 'shop'", database="shop")
    assert owners == [("shop_owner",)]


def test_the_app_reads_and_writes_what_the_migration_made(shop: Postgres) -> None:
    with shop.connect("shop", "shop", "till-9c41") as connection:
        connection.execute("INSERT INTO orders (sold) VALUES (1)")
        connection.execute("UPDATE orders SET sold = shop.double(sold)")
        assert connection.execute("SELECT id, sold FROM orders").fetchall() == [(1, 2)]
        connection.execute("DELETE FROM orders")


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("CREATE TABLE shop.mine (id int)", "permission denied for schema shop"),
        ("CREATE TABLE public.mine (id int)", "permission denied for schema public"),
        ("CREATE SCHEMA mine", "permission denied for database shop"),
        ("CREATE TEMPORARY TABLE mine (id int)", "permission denied to create temporary tables"),
        ("TRUNCATE shop.orders", "permission denied for table orders"),
        ("DROP TABLE shop.orders", "must be owner of table orders"),
        ("SET ROLE shop_owner", "permission denied to set role"),
        ("CREATE ROLE mine", "permission denied to create role"),
        ("COPY shop.orders TO PROGRAM 'id'", "permission denied to COPY"),
        ("SELECT rolpassword FROM pg_authid", "permission denied for table pg_authid"),
    ],
)
def test_the_app_can_do_no_more_than_that(shop: Postgres, statement: str, complaint: str) -> None:
    said = refused(shop, "shop", "till-9c41", statement)
    assert complaint in said or "must be superuser or" in said


def test_ops_sees_what_runs_and_the_access_rules(shop: Postgres) -> None:
    with (
        shop.connect("shop", "shop", "till-9c41"),
        shop.connect("slipway_ops", "shop", "watch-2b6e") as connection,
    ):
        states = connection.execute("SELECT state FROM pg_stat_activity WHERE usename = 'shop'").fetchall()
        assert states == [("idle",)]
        assert connection.execute("SELECT count(*) FROM pg_hba_file_rules").fetchone() == (2,)
        assert connection.execute("SHOW application_name").fetchone() == ("db-status",)


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("SELECT * FROM shop.orders", "permission denied for table orders"),
        ("CREATE TABLE public.mine (id int)", "read-only transaction"),
        ("SELECT pg_read_file('postgresql.conf')", "permission denied for function pg_read_file"),
        ("SELECT pg_stat_statements_reset()", "permission denied for function pg_stat_statements_reset"),
    ],
)
def test_ops_reads_no_data_and_writes_nothing(shop: Postgres, statement: str, complaint: str) -> None:
    assert complaint in refused(shop, "slipway_ops", "watch-2b6e", statement)


def test_ops_writes_nothing_after_leaving_read_only_either(shop: Postgres) -> None:
    with shop.connect("slipway_ops", "shop", "watch-2b6e") as connection:
        connection.execute("SET default_transaction_read_only = off")
        for schema in ("public", "shop"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"CREATE TABLE {schema}.mine (id int)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM shop.orders")


def test_the_owner_does_not_log_in(shop: Postgres) -> None:
    with pytest.raises(psycopg.OperationalError):
        shop.connect("shop_owner", "shop")


def test_nobody_else_gets_into_the_database(shop: Postgres) -> None:
    shop.sql("DROP ROLE IF EXISTS stranger", "CREATE ROLE stranger LOGIN PASSWORD 'knock'")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        shop.connect("stranger", "shop", "knock")


def test_the_migration_role_can_be_the_owner_from_its_first_statement_on(postgres: Postgres) -> None:
    wanted = SHOP | {"roles": [role | {"settings": {}} for role in SHOP["roles"]]}
    wanted["roles"][1]["settings"] = {"role": "shop_owner"}
    postgres.state(wanted)
    assert not postgres.state(wanted)["changed"]
    with postgres.connect("shop_migrate", "shop", "migrate-7f3a") as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("shop_owner",)
