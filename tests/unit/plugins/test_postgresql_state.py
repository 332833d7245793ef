"""postgresql_state on a real server: it converges, stays, mends drift, and refuses what it must not touch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.unit.plugins.test_postgresql_example import SHOP, shop
from tests.unit.plugins.test_postgresql_harness import REPOSITORY, Postgres

pytest_plugins = ["tests.unit.plugins.test_postgresql_harness"]


def snapshot(postgres: Postgres) -> list[tuple[Any, ...]]:
    """Whatever the module could have changed in the cluster."""
    return postgres.sql(
        "SELECT (SELECT json_agg(r) FROM pg_authid r), (SELECT json_agg(m) FROM pg_auth_members m),"
        " (SELECT json_agg(s) FROM pg_db_role_setting s),"
        " (SELECT json_agg(json_build_array(datname, datdba, datacl, datconnlimit)) FROM pg_database)"
    )


def test_an_empty_cluster_becomes_the_shop_and_stays(postgres: Postgres) -> None:
    first = postgres.state(SHOP)
    assert first["changed"]
    second = postgres.state(SHOP)
    assert second["statements"] == []
    assert not second["changed"]
    assert second["diff"]["before"] == second["diff"]["after"] == ""


def test_check_mode_lists_the_same_and_changes_nothing(postgres: Postgres) -> None:
    before = snapshot(postgres)
    predicted = postgres.state(SHOP, check=True)
    assert snapshot(postgres) == before
    assert predicted["changed"]
    done = postgres.state(SHOP)
    assert predicted["statements"] == done["statements"]
    assert predicted["diff"] == done["diff"]
    assert not postgres.state(SHOP, check=True)["changed"]


def test_an_existing_schema_and_its_tables_are_taken_over(postgres: Postgres) -> None:
    postgres.sql(
        "CREATE DATABASE shop ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8' TEMPLATE template0"
    )
    postgres.sql(
        "CREATE SCHEMA shop",
        'CREATE TABLE shop."odd ""name"" $1 ä\\" (id serial)',
        "CREATE FUNCTION shop.total(int, text) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TYPE shop.state AS ENUM ('open')",
        database="shop",
    )
    answer = postgres.state(SHOP)
    assert "give schema shop.shop to shop_owner" in answer["statements"]
    assert answer["foreign_tables"] == ['shop.shop.odd "name" $1 ä\\ belongs to postgres']
    with postgres.connect("shop", "shop", "till-9c41") as connection:
        connection.execute('INSERT INTO "odd ""name"" $1 ä\\" DEFAULT VALUES')
    assert not postgres.state(SHOP)["changed"]


def test_hostile_names_are_only_names(postgres: Postgres) -> None:
    name = "a'\"; DROP ROLE postgres; -- $$ \\! :x ü"
    wanted = {
        "roles": [
            {"name": name, "login": True, "password": "till-9c41", "settings": {"search_path": [name]}}
        ],
        "databases": [{"name": name, "owner": name, "connect": [name]}],
        "schemas": [{"database": name, "name": name, "owner": name}],
    }
    postgres.state(wanted)
    assert not postgres.state(wanted)["changed"]
    with postgres.connect(name, name, "till-9c41") as connection:
        assert connection.execute("SELECT current_database(), current_schema()").fetchone() == (name, name)


def test_facts_tell_version_locale_and_what_waits_for_a_restart(postgres: Postgres) -> None:
    with (postgres.data / "postgresql.conf").open("a") as settings:
        settings.write("max_connections = 42\nwork_mem = 'lots'\n")
    with (postgres.data / "pg_hba.conf").open("a") as rules:
        rules.write("local all all nonsense\n")
    facts = postgres.state({})["facts"]
    assert facts["server_version"].startswith(postgres.version)
    assert facts["data_checksums"] is True
    assert facts["databases"]["postgres"] | {"owner": ""} == {
        "encoding": "UTF8", "lc_collate": "C.UTF-8", "lc_ctype": "C.UTF-8", "owner": "",
    }  # fmt: skip
    assert facts["pending_restart"] == [{"name": "max_connections", "setting_now": "100", "wanted": "42"}]
    (hba,) = facts["hba_errors"]
    assert hba.startswith(f"{postgres.data}/pg_hba.conf:3: invalid authentication method")
    (setting,) = facts["file_settings_errors"]
    assert "work_mem: setting could not be applied" in setting


def test_an_object_that_is_not_there_yet_is_named_and_granted_once_it_is(postgres: Postgres) -> None:
    wanted = shop()
    wanted["object_grants"].append(
        {
            "database": "shop",
            "schema": "shop",
            "role": "slipway_ops",
            "tables": {"alembic_version": ["SELECT"]},
        }
    )
    assert postgres.state(wanted)["missing_objects"] == ["shop.shop.alembic_version"]
    postgres.sql("SET ROLE shop_owner", "CREATE TABLE shop.alembic_version (version text)", database="shop")
    answer = postgres.state(wanted)
    assert answer["statements"] == ["grant SELECT on table shop.shop.alembic_version to slipway_ops"]
    assert answer["missing_objects"] == []


def test_an_excepted_table_keeps_what_its_migration_left_it(postgres: Postgres) -> None:
    wanted = shop()
    wanted["default_privileges"][0]["except_tables"] = ["ledger"]
    postgres.state(wanted)
    postgres.sql(
        "SET ROLE shop_owner",
        "CREATE TABLE shop.ledger (sum int)",
        "CREATE TABLE shop.orders (sum int)",
        "REVOKE UPDATE, DELETE ON shop.ledger, shop.orders FROM shop",
        database="shop",
    )
    assert postgres.state(wanted)["statements"] == ["grant DELETE, UPDATE on table shop.shop.orders to shop"]
    holds = "SELECT has_table_privilege('shop', 'shop.ledger', '{}')"
    assert postgres.sql(holds.format("INSERT"), database="shop") == [(True,)]
    assert postgres.sql(holds.format("UPDATE"), database="shop") == [(False,)]


def test_ansible_itself_runs_the_module_and_shows_no_secret(postgres: Postgres) -> None:
    wanted = shop()
    wanted["roles"][2]["password"] = "sesame-open"
    task = {"name": "State the shop", "postgresql_state": postgres.arguments | wanted}
    playbook = postgres.directory / "playbook.yml"
    playbook.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]))
    ansible = Path(sys.executable).with_name("ansible-playbook")
    outputs = []
    for _ in range(2):
        completed = subprocess.run(
            [ansible, "-i", "localhost,", "-c", "local", "--diff", "-vvv", playbook],
            capture_output=True,
            text=True,
            check=False,
            cwd=REPOSITORY,
            env=os.environ | {"ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0"},
        )
        assert completed.returncode == 0, completed.stdout + completed.stderr
        outputs.append(completed.stdout)
    assert "changed=1" in outputs[0]
    assert "+role shop: login, inherit, connection limit 60" in outputs[0]
    assert "changed=0" in outputs[1]
    assert "sesame-open" not in "".join(outputs)
    assert "SCRAM" not in "".join(outputs)
