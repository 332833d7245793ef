"""The statements that bring roles and databases from what is there to what is wanted."""

from __future__ import annotations

from typing import Any

from .quoting import (
    identifier,
    literal,
    printable,
    same_setting,
    setting_assignment,
    setting_name,
    setting_text,
)
from .scram import matches, verifier
from .statements import Grantable, Statement, as_acl, changes, grants
from .wanted import ATTRIBUTES

COLUMNS = {
    "login": "rolcanlogin",
    "inherit": "rolinherit",
    "superuser": "rolsuper",
    "createrole": "rolcreaterole",
    "createdb": "rolcreatedb",
    "replication": "rolreplication",
    "bypassrls": "rolbypassrls",
}

FIRST_WITH_MEMBERSHIP_OPTIONS = 160000

# What keeps a verifier out of the log, pg_stat_activity and pg_stat_statements while it is being set.
QUIET = (
    "track_activities = off",
    "log_statement = 'none'",
    "log_duration = off",
    "log_min_duration_statement = -1",
    "log_min_duration_sample = -1",
    "log_min_error_statement = 'panic'",
    "pg_stat_statements.track_utility = off",
)


def attribute_words(role: dict[str, Any], existing: dict[str, Any] | None) -> list[tuple[str, str, str]]:
    """(SQL, before, after) for each attribute that differs; for a role that is not there yet, all of them."""
    words = []
    for attribute in ATTRIBUTES:
        has = existing and existing[COLUMNS[attribute]]
        if has != role[attribute]:
            word, no = attribute.upper(), "" if role[attribute] else "NO"
            words.append(
                (
                    no + word,
                    f"{attribute} {setting_text(bool(has))}",
                    f"{attribute} {setting_text(role[attribute])}",
                )
            )
    limit = role["connection_limit"]
    if existing is None or existing["rolconnlimit"] != limit:
        before = f"connection limit {existing['rolconnlimit']}" if existing else ""
        words.append((f"CONNECTION LIMIT {limit}", before, f"connection limit {limit}"))
    if existing and existing["rolvaliduntil"] not in (None, "infinity"):
        words.append(
            ("VALID UNTIL 'infinity'", f"password valid until {existing['rolvaliduntil']}", "password valid")
        )
    return words


def plan_role(role: dict[str, Any], existing: dict[str, Any] | None) -> list[Statement]:
    words = attribute_words(role, existing)
    if not words:
        return []
    name, shown = identifier(role["name"]), f"role {role['name']}"
    sql = " ".join(word for word, _, _ in words)
    if existing is None:
        held = [attribute for attribute in ATTRIBUTES if role[attribute]]
        limit = [f"connection limit {role['connection_limit']}"] if role["connection_limit"] >= 0 else []
        after = f"{shown}: {', '.join([*held, *limit]) or 'no attribute'}"
        return [Statement(f"create {shown}", f"CREATE ROLE {name} {sql}", "", after)]
    after = ", ".join(after for _, _, after in words)
    before = ", ".join(before for _, before, _ in words)
    return [
        Statement(
            f"alter {shown}: {after}", f"ALTER ROLE {name} {sql}", f"{shown}: {before}", f"{shown}: {after}"
        )
    ]


def plan_password(role: dict[str, Any], existing: dict[str, Any] | None) -> list[Statement]:
    stored = existing["rolpassword"] if existing else None
    password, shown = role["password"], f"role {role['name']}"
    alter = f"ALTER ROLE {identifier(role['name'])} PASSWORD"
    if password is None or (password == "" and stored is None):
        return []
    if password == "":
        return [
            Statement(
                f"remove the password of {shown}",
                f"{alter} NULL",
                f"{shown}: has a password",
                f"{shown}: no password",
            )
        ]
    if matches(password, stored):
        return []
    before = f"{shown}: another password" if stored else ""
    sql = f"{alter} {literal(verifier(password))}"
    return [Statement(f"set the password of {shown}", sql, before, f"{shown}: the password as stated")]


def plan_memberships(role: dict[str, Any], current: dict[str, Any]) -> list[Statement]:
    """Memberships are exact, and none may be passed on; from 16 on each has options of its own."""
    with_options = current["version_num"] >= FIRST_WITH_MEMBERSHIP_OPTIONS
    member, good, statements = role["name"], set(), []
    for row in (row for row in current["memberships"] if row["member"] == member):
        as_wanted = not row["admin_option"] and row.get("inherit_option", role["inherit"]) == role["inherit"]
        if row["group"] in role["member_of"] and as_wanted and row.get("set_option", True):
            good.add(row["group"])
            continue
        by = f" GRANTED BY {identifier(row['grantor'])}" if with_options and row["grantor"] else ""
        options = " with admin option" if row["admin_option"] else ""
        statements.append(
            Statement(
                f"revoke {printable(row['group'])} from {member}",
                f"REVOKE {identifier(row['group'])} FROM {identifier(member)}{by}",
                f"role {member}: member of {printable(row['group'])}{options}",
            )
        )
    options = f" WITH INHERIT {role['inherit']}, SET TRUE".upper() if with_options else ""
    for group in dict.fromkeys(role["member_of"]):
        if group not in good:
            sql = f"GRANT {identifier(group)} TO {identifier(member)}{options}"
            statements.append(
                Statement(f"grant {group} to {member}", sql, "", f"role {member}: member of {group}")
            )
    return statements


def stored_settings(current: dict[str, Any], role: str | None, database: str | None) -> dict[str, str]:
    stored: dict[str, str] = {}
    for row in current["settings"]:
        if row["role"] == role and row["database"] == database:
            stored |= dict(entry.split("=", 1) for entry in row["config"])
    return stored


def plan_settings(target: str, shown: str, stored: dict[str, str], wanted: dict[str, Any]) -> list[Statement]:
    """Exactly the `wanted` settings, for ALTER `target`."""
    statements = []
    by_name = {name.lower(): (name, value) for name, value in stored.items()}
    for name, value in wanted.items():
        _, has = by_name.pop(name.lower(), (name, None))
        if has is None or not same_setting(name, has, value):
            text = ", ".join(map(setting_text, value)) if isinstance(value, list) else setting_text(value)
            label = f"set {name} of {shown} to {printable(text)}"
            before = f"{shown}: {name} = {printable(has)}" if has is not None else ""
            sql = f"ALTER {target} SET {setting_assignment(name, value)}"
            statements.append(Statement(label, sql, before, f"{shown}: {name} = {printable(text)}"))
    for name, value in by_name.values():
        sql = f"ALTER {target} RESET {setting_name(name)}"
        statements.append(Statement(f"reset {name} of {shown}", sql, f"{shown}: {name} = {printable(value)}"))
    return statements


def plan_role_settings(role: dict[str, Any], current: dict[str, Any]) -> list[Statement]:
    target, shown = f"ROLE {identifier(role['name'])}", f"role {role['name']}"
    return plan_settings(target, shown, stored_settings(current, role["name"], None), role["settings"])


def plan_role_settings_in_databases(role: dict[str, Any], current: dict[str, Any]) -> list[Statement]:
    wanted, statements = role["settings_in_database"], []
    stored = [
        row["database"] for row in current["settings"] if row["role"] == role["name"] and row["database"]
    ]
    for database in dict.fromkeys([*wanted, *stored]):
        target = f"ROLE {identifier(role['name'])} IN DATABASE {identifier(database)}"
        shown = f"role {role['name']} in database {printable(database)}"
        has = stored_settings(current, role["name"], database)
        statements += plan_settings(target, shown, has, wanted.get(database, {}))
    return statements


def plan_new_database(database: dict[str, Any]) -> Statement:
    name, shown = identifier(database["name"]), f"database {database['name']}"
    sql = (
        f"CREATE DATABASE {name} OWNER {identifier(database['owner'])}"
        f" ENCODING {literal(database['encoding'])}"
        f" LC_COLLATE {literal(database['lc_collate'])} LC_CTYPE {literal(database['lc_ctype'])}"
        f" TEMPLATE {identifier(database['template'])}"
    )
    kind = f"{database['encoding']}, {database['lc_collate']}/{database['lc_ctype']}"
    return Statement(f"create {shown}", sql, "", f"{shown}: owner {database['owner']}, {kind}")


def plan_database(
    database: dict[str, Any], existing: dict[str, Any] | None, current: dict[str, Any], managed: list[str]
) -> list[Statement]:
    """Owner, limit, settings and privileges of a database; `existing` is None for one about to be created."""
    name, shown = identifier(database["name"]), f"database {database['name']}"
    owner, limit, statements = database["owner"], database["connection_limit"], []
    fresh = {
        "owner": owner,
        "connection_limit": -1,
        "acl": [[None, "CONNECT", False], [None, "TEMPORARY", False]],
    }
    has = existing or fresh
    if has["owner"] != owner:
        label, before = f"give {shown} to {owner}", f"{shown}: owner {printable(has['owner'])}"
        statements.append(
            Statement(
                label,
                f"ALTER DATABASE {name} OWNER TO {identifier(owner)}",
                before,
                f"{shown}: owner {owner}",
            )
        )
    if has["connection_limit"] != limit:
        after, sql = f"{shown}: connection limit {limit}", f"ALTER DATABASE {name} CONNECTION LIMIT {limit}"
        before = f"{shown}: connection limit {has['connection_limit']}" if existing else ""
        statements.append(Statement(f"alter {after}", sql, before, after))
    statements += plan_settings(
        f"DATABASE {name}", shown, stored_settings(current, None, database["name"]), database["settings"]
    )
    # The former owner's privileges go to the new owner with the database.
    acl = [entry for entry in as_acl(has["acl"]) if entry[0] != has["owner"]]
    target = Grantable(name, "database", database["name"], owner, acl)
    wanted: dict[str | None, list[str]] = {role: ["CONNECT"] for role in database["connect"]}
    exact: list[str | None] = [*managed, None] if database["revoke_public"] else [*managed]
    return statements + grants(changes(target, wanted, exact), "DATABASE ")
