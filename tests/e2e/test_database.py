"""The database: how its cluster was made, what is in force, and who may do what."""

import json

import pytest

from tests.e2e import hosts
from tests.lab.host import Host

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

SETTINGS_FILE = "/etc/postgresql/14/main/conf.d/slipway.conf"
# The server shows sizes and times in units of its own; both sides are compared in its words.
NOT_IN_FORCE = f"""
SELECT file.name || ': ' || file.setting || ' was written, ' || current_setting(file.name) || ' is in force'
  || coalesce(' since ' || now.sourcefile, '')
FROM pg_file_settings AS file JOIN pg_settings AS now USING (name)
WHERE file.sourcefile = '{SETTINGS_FILE}'
  AND (NOT file.applied OR now.sourcefile IS DISTINCT FROM file.sourcefile OR now.pending_restart)
"""


def test_the_cluster_is_what_was_asked_for(host: Host) -> None:
    about = hosts.sql(
        host,
        "SELECT current_setting('server_version_num')::int / 10000, pg_encoding_to_char(encoding), datcollate,"
        " datctype, current_setting('data_checksums'), current_setting('TimeZone')"
        " FROM pg_database WHERE datname = 'shop'",
    )
    assert about == "14|UTF8|C.UTF-8|C.UTF-8|on|UTC"


def test_the_settings_in_force_are_those_that_were_written(host: Host) -> None:
    written = int(
        hosts.sql(host, f"SELECT count(*) FROM pg_file_settings WHERE sourcefile = '{SETTINGS_FILE}'")
    )
    lines = hosts.output(host, f"grep --count ' = ' {SETTINGS_FILE}")
    assert written == int(lines) > 20
    assert not hosts.sql(host, NOT_IN_FORCE)


def test_nothing_waits_for_a_restart_and_no_file_has_a_fault(host: Host) -> None:
    assert not hosts.sql(host, "SELECT name FROM pg_settings WHERE pending_restart")
    assert not hosts.sql(host, "SELECT line_number, error FROM pg_hba_file_rules WHERE error IS NOT NULL")
    assert not hosts.sql(
        host, "SELECT sourcefile, sourceline, error FROM pg_file_settings WHERE error IS NOT NULL"
    )


def test_a_new_cluster_needs_no_restart_for_backups_standbys_and_logical_replication(host: Host) -> None:
    wanted = {
        "wal_level": "logical",
        "archive_mode": "on",
        "hot_standby": "on",
        "wal_log_hints": "on",
        "cluster_name": "14/main",
    }
    for name, value in wanted.items():
        assert hosts.sql(host, f"SHOW {name}") == value


def test_statements_are_counted(host: Host) -> None:
    marker = "SELECT 'counted by a test'::text"
    hosts.sql(host, marker, user="shop")
    seen = hosts.sql(
        host, "SELECT sum(calls) FROM pg_stat_statements WHERE query LIKE 'SELECT $1::text%'", user="root"
    )
    assert int(seen) >= 1


@pytest.mark.parametrize("user", ["root", "deploy"])
def test_operators_look_at_the_database_without_a_password_and_change_nothing(host: Host, user: str) -> None:
    look = f"runuser --user={user} -- psql --no-psqlrc -At --username=slipway_ops --dbname=shop"
    assert hosts.output(host, look, stdin="SELECT current_user") == "slipway_ops"
    assert int(hosts.output(host, look, stdin="SELECT count(*) FROM pg_stat_activity")) > 0
    said = hosts.refused(host, f"{look} --command='CREATE TABLE public.mine ()'")
    assert "permission denied" in said or "read-only transaction" in said


def test_the_role_that_ends_sessions_writes_nothing_and_the_one_that_dumps_alters_nothing(host: Host) -> None:
    look = "runuser --user=deploy -- psql --no-psqlrc -At --set=ON_ERROR_STOP=1"
    held = hosts.output(
        host,
        f"{look} --username=slipway_signal --dbname=shop",
        stdin="SELECT pg_has_role('pg_signal_backend', 'USAGE'), has_schema_privilege('shop', 'USAGE')",
    )
    assert held == "t|f"
    dump = f"{look} --username=slipway_backup"
    assert int(hosts.output(host, f"{dump} --dbname=shop", stdin="SELECT count(*) FROM shop.products")) > 0
    assert "permission denied" in hosts.refused(
        host, f"{dump} --dbname=shop --command='DELETE FROM shop.products'"
    )
    assert "must be owner" in hosts.refused(host, f"{dump} --dbname=postgres --command='DROP DATABASE shop'")


def test_who_looks_sees_how_far_each_sequence_is(host: Host) -> None:
    unseen = (
        "SELECT count(*) FROM pg_sequences WHERE NOT has_sequence_privilege("
        "format('%I.%I', schemaname, sequencename), 'SELECT')"
    )
    assert hosts.sql(host, unseen, user="root") == "0"


@pytest.mark.parametrize(
    ("user", "role", "answer"),
    [
        ("deploy", "shop", 'Peer authentication failed for user "shop"'),
        ("deploy", "postgres", 'Peer authentication failed for user "postgres"'),
        ("root", "postgres", 'Peer authentication failed for user "postgres"'),
        ("shop", "shop_migrate", 'Peer authentication failed for user "shop_migrate"'),
        ("shop", "slipway_ops", 'Peer authentication failed for user "slipway_ops"'),
        ("shop", "slipway_signal", 'Peer authentication failed for user "slipway_signal"'),
        ("shop", "slipway_backup", 'Peer authentication failed for user "slipway_backup"'),
        ("www-data", "shop", 'Peer authentication failed for user "shop"'),
        ("www-data", "www-data", "pg_hba.conf rejects connection"),
    ],
)
def test_nobody_is_somebody_else(host: Host, user: str, role: str, answer: str) -> None:
    said = hosts.refused(
        host, f"runuser --user={user} -- psql --username={role} --dbname=shop --command='SELECT 1'"
    )
    assert answer in said


def test_the_service_reads_and_writes_rows(host: Host) -> None:
    said = hosts.sql(
        host,
        "SELECT current_user; BEGIN; UPDATE products SET stock = stock; "
        "DELETE FROM products WHERE NOT EXISTS (SELECT FROM order_items WHERE product_id = products.id); ROLLBACK",
        user="shop",
    )
    assert said == "shop"


@pytest.mark.parametrize(
    ("statement", "answer"),
    [
        ("CREATE TABLE shop.mine ()", "permission denied for schema shop"),
        ("CREATE TABLE public.mine ()", "permission denied for schema public"),
        ("CREATE TEMPORARY TABLE mine ()", "permission denied to create temporary tables"),
        ("DROP TABLE shop.products", "must be owner of table products"),
        ("TRUNCATE shop.products", "permission denied for table products"),
        ("ALTER TABLE shop.products ADD COLUMN mine int", "must be owner of table products"),
        ("SELECT rolpassword FROM pg_authid", "permission denied for table pg_authid"),
        ("SELECT pg_read_file('/etc/passwd')", "permission denied for function pg_read_file"),
        ("COPY shop.products TO PROGRAM 'id'", "must be superuser"),
        ("SET ROLE shop_owner", 'permission denied to set role "shop_owner"'),
        ("CREATE ROLE mine", "permission denied to create role"),
        ("CREATE DATABASE mine", "permission denied to create database"),
    ],
)
def test_the_service_may_do_nothing_else(host: Host, statement: str, answer: str) -> None:
    command = f"runuser --user=shop -- psql --no-psqlrc --dbname=shop --command={json.dumps(statement)}"
    assert answer in hosts.refused(host, command)


def test_the_service_may_not_enter_another_database(host: Host) -> None:
    said = hosts.refused(host, "runuser --user=shop -- psql --dbname=postgres --command='SELECT 1'")
    assert "pg_hba.conf rejects connection" in said


def test_the_database_is_reached_through_its_socket_alone(host: Host) -> None:
    assert hosts.sql(host, "SHOW listen_addresses") == ""
    assert "postgres" not in hosts.output(host, "ss --no-header --listening --tcp --udp --processes")
    said = hosts.refused(host, "psql --host=127.0.0.1 --username=shop --dbname=shop --command='SELECT 1'")
    assert "Connection refused" in said
