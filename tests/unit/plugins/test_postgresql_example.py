"""The bundled service's database as the tests state it, and the example that the module's documentation shows."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import yaml

from tests.unit.plugins.test_postgresql_harness import Postgres, load_module

pytest_plugins = ["tests.unit.plugins.test_postgresql_harness"]

# The whole database of the bundled service, as the role states it.
SHOP: dict[str, Any] = {
    "roles": [
        {"name": "shop_owner"},
        {"name": "shop_migrate", "login": True, "member_of": ["shop_owner"], "password": "migrate-7f3a"},
        {
            "name": "shop",
            "login": True,
            "password": "till-9c41",
            "connection_limit": 60,
            "settings": {"search_path": ["shop"], "statement_timeout": "10s"},
        },
        {
            "name": "slipway_ops",
            "login": True,
            "password": "watch-2b6e",
            "connection_limit": 3,
            "member_of": ["pg_monitor"],
            "settings": {"default_transaction_read_only": True},
            "settings_in_database": {"shop": {"application_name": "db-status"}},
        },
    ],
    "databases": [
        {
            "name": "shop",
            "owner": "shop_owner",
            "connect": ["shop", "shop_migrate", "slipway_ops"],
            "settings": {"timezone": "UTC"},
        }
    ],
    "schemas": [
        {"database": "shop", "name": "shop", "owner": "shop_owner", "usage": ["shop", "slipway_ops"]}
    ],
    "extensions": [{"database": "shop", "name": "pg_stat_statements"}],
    "default_privileges": [
        {
            "database": "shop",
            "schema": "shop",
            "owner": "shop_owner",
            "grants": [
                {
                    "role": "shop",
                    "tables": ["SELECT", "INSERT", "UPDATE", "DELETE"],
                    "sequences": ["USAGE", "SELECT"],
                    "functions": ["EXECUTE"],
                }
            ],
        }
    ],
    "object_grants": [
        {
            "database": "shop",
            "schema": "pg_catalog",
            "role": "slipway_ops",
            "tables": {"pg_hba_file_rules": ["SELECT"]},
            "functions": {"pg_hba_file_rules()": ["EXECUTE"]},
        },
    ],
}


def shop() -> dict[str, Any]:
    """The wanted state of the service's database, for a test to change."""
    return deepcopy(SHOP)


def test_the_documented_example_converges_and_stays(postgres: Postgres) -> None:
    (task,) = yaml.safe_load(load_module("postgresql_state").EXAMPLES)
    wanted = task["postgresql_state"] | postgres.arguments
    for role in wanted["roles"]:
        role.pop("password", None)
    assert postgres.state(wanted)["changed"]
    again = postgres.state(wanted)
    assert not again["changed"], f"a second run changed: {again['statements']}"
    assert again["missing_objects"] == ["blog.blog.alembic_version"]
