"""The plan is a pure function of what is there and what is wanted: no server is needed to read one."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from tests.unit.plugins.test_postgresql_example import SHOP
from tests.unit.plugins.test_postgresql_harness import part

plan, quoting, reading, wanted = part("plan"), part("quoting"), part("reading"), part("wanted")
statements = part("statements")


def complete(stated: dict[str, Any]) -> dict[str, Any]:
    """`stated` with every default filled in, as the module gets it."""
    result = ArgumentSpecValidator(wanted.STATE_SPEC).validate(stated)
    assert not result.error_messages, result.error_messages
    return dict(result.validated_parameters)


def empty(stated: dict[str, Any], version: str = "14") -> dict[str, Any]:
    return dict(reading.empty_cluster(version, stated))


def sql(version: str, stated: dict[str, Any]) -> list[str]:
    return [statement.sql for statement in plan.plan(empty(stated, version), stated).statements]


def test_nothing_wanted_plans_nothing() -> None:
    stated = complete({})
    assert plan.plan(empty(stated), stated).statements == []


def test_a_role_is_created_with_every_attribute_spelled_out() -> None:
    stated = complete({"roles": [{"name": "shop", "login": True, "connection_limit": 60}]})
    assert sql("14", stated) == [
        'CREATE ROLE "shop" LOGIN INHERIT NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS '
        "CONNECTION LIMIT 60"
    ]


def test_a_database_is_created_between_its_owner_and_its_privileges() -> None:
    stated = complete(
        {
            "roles": [{"name": "owner"}],
            "databases": [{"name": "shop", "owner": "owner", "connect": ["owner"]}],
        }
    )
    planned = plan.plan(empty(stated), stated)
    assert [statement.label for statement in planned.before_databases] == ["create role owner"]
    assert [statement.sql for statement in planned.new_databases] == [
        "CREATE DATABASE \"shop\" OWNER \"owner\" ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8' "
        'TEMPLATE "template0"'
    ]
    assert [statement.sql for statement in planned.after_databases] == [
        'REVOKE CONNECT, TEMPORARY ON DATABASE "shop" FROM PUBLIC'
    ]


@pytest.mark.parametrize(("version", "revoked"), [("14", True), ("15", False)])
def test_creating_in_public_is_revoked_where_postgresql_still_allows_it(version: str, revoked: bool) -> None:
    stated = complete({"roles": [{"name": "owner"}], "databases": [{"name": "shop", "owner": "owner"}]})
    assert ('REVOKE CREATE ON SCHEMA "public" FROM PUBLIC' in sql(version, stated)) is revoked


@pytest.mark.parametrize(("version", "options"), [("14", ""), ("16", " WITH INHERIT TRUE, SET TRUE")])
def test_a_membership_has_options_from_16_on(version: str, options: str) -> None:
    stated = complete({"roles": [{"name": "group"}, {"name": "member", "member_of": ["group"]}]})
    assert f'GRANT "group" TO "member"{options}' in sql(version, stated)


def test_a_membership_that_may_be_passed_on_is_replaced() -> None:
    stated = complete({"roles": [{"name": "member", "member_of": ["group"]}]})
    current = empty(stated) | {
        "memberships": [{"group": "group", "member": "member", "grantor": "postgres", "admin_option": True}]
    }
    labels = plan.plan(current, stated).labels
    assert labels[1:] == ["revoke group from member", "grant group to member"]


def test_the_password_comes_last_before_the_databases_inside_and_is_in_no_text() -> None:
    stated = complete(SHOP)
    planned = plan.plan(empty(stated), stated)
    assert [statement.label for statement in planned.passwords] == [
        "set the password of role shop_migrate",
        "set the password of role shop",
        "set the password of role slipway_ops",
    ]
    for statement in planned.statements:
        shown = statement.label + statement.before + statement.after
        assert "SCRAM" not in shown
        assert "till-9c41" not in statement.sql + shown


def test_privileges_of_others_are_left_alone_and_those_of_stated_roles_are_exact() -> None:
    acl = [("shop", "TRUNCATE", False), ("analyst", "SELECT", False), (None, "SELECT", False)]
    table = statements.Grantable(
        '"shop"."orders"', "table", "shop.orders", "owner", [*acl, ("owner", "SELECT", False)]
    )
    planned = statements.grants(
        statements.changes(table, {"shop": ["SELECT"]}, ["shop", "owner", None]), "TABLE "
    )
    assert [statement.sql for statement in planned] == [
        'GRANT SELECT ON TABLE "shop"."orders" TO "shop"',
        'REVOKE TRUNCATE ON TABLE "shop"."orders" FROM "shop"',
        'REVOKE SELECT ON TABLE "shop"."orders" FROM PUBLIC',
    ]


def test_many_objects_share_one_statement_and_a_short_label() -> None:
    tables = [
        statements.Grantable(f'"s"."t{number}"', "table", f"s.t{number}", "owner", []) for number in range(8)
    ]
    found = [
        change for table in tables for change in statements.changes(table, {"shop": ["SELECT"]}, ["shop"])
    ]
    (statement,) = statements.grants(found, "TABLE ")
    assert statement.label == "grant SELECT on table s.t0, s.t1, s.t2, s.t3, s.t4 and 3 more to shop"
    assert statement.sql.count('"s"."t') == 8


@pytest.mark.parametrize(
    ("there", "refused"), [("C.utf8", False), ("C.UTF-8", False), ("C", True), ("en_US.UTF-8", True)]
)
def test_one_locale_has_two_spellings(there: str, refused: bool) -> None:
    stated = complete({"roles": [{"name": "owner"}], "databases": [{"name": "shop", "owner": "owner"}]})
    database = {"owner": "owner", "encoding": "UTF8", "lc_collate": there, "lc_ctype": there, "acl": []}
    current = empty(stated) | {"databases": {"shop": database | {"connection_limit": -1}}}
    assert bool(list(plan.refuse_other_locale(current, stated))) is refused


@pytest.mark.parametrize(
    ("stated", "sentence"),
    [
        ({"roles": [{"name": "a\nb"}]}, "contains a control character"),
        ({"roles": [{"name": "Public"}]}, "PostgreSQL reserves that name"),
        ({"roles": [{"name": "a", "password": "x\0y"}]}, "its password contains a NUL character"),
        ({"roles": [{"name": "a", "connection_limit": -2}]}, "connection_limit is -1"),
        (
            {"roles": [{"name": "a", "settings": {"work_mem": None}}]},
            "Setting work_mem of role a needs a value",
        ),
        (
            {"roles": [{"name": "a", "settings_in_database": {"b": "x"}}]},
            "are a dictionary of name and value",
        ),
        ({"roles": [{"name": "a"}, {"name": "a"}]}, "roles states a more than once"),
        (
            {"object_grants": [{"database": "d", "schema": "s", "role": "r", "tables": {"t": ["FLY"]}}]},
            "needs a list of SELECT",
        ),
        (
            {
                "object_grants": [
                    {"database": "d", "schema": "s", "role": "r", "functions": {"f": ["EXECUTE"]}}
                ]
            },
            "names a function with its arguments, as in f()",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(stated: dict[str, Any], sentence: str) -> None:
    with pytest.raises(quoting.RefusedError) as refused:
        wanted.check(complete(stated), "postgres")
    assert sentence in str(refused.value)
