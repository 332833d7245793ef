"""The shape of a wanted database state, and the refusals that need no server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from .quoting import RefusedError, literal, name_fault, printable, setting_assignment

# The words of CREATE ROLE for each attribute, in the order they are written.
ATTRIBUTES = ("login", "inherit", "superuser", "createrole", "createdb", "replication", "bypassrls")

# Privileges one can state, by the word ALTER DEFAULT PRIVILEGES uses for the kind of object.
PRIVILEGES = {
    "tables": ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"],
    "sequences": ["USAGE", "SELECT", "UPDATE"],
    "functions": ["EXECUTE"],
    "types": ["USAGE"],
}

RESERVED_NAMES = ("public", "none")


def text(default: str | None = None) -> dict[str, Any]:
    return {"type": "str", "required": True} if default is None else {"type": "str", "default": default}


def names() -> dict[str, Any]:
    return {"type": "list", "elements": "str", "default": []}


def mapping() -> dict[str, Any]:
    return {"type": "dict", "default": {}}


def entries(**options: dict[str, Any]) -> dict[str, Any]:
    return {"type": "list", "elements": "dict", "default": [], "options": options}


def privileges(kind: str) -> dict[str, Any]:
    return names() | {"choices": PRIVILEGES[kind]}


STATE_SPEC: dict[str, dict[str, Any]] = {
    "roles": entries(
        name=text(),
        **{attribute: {"type": "bool", "default": attribute == "inherit"} for attribute in ATTRIBUTES},
        connection_limit={"type": "int", "default": -1},
        password={"type": "str", "no_log": True},
        member_of=names(),
        settings=mapping(),
        settings_in_database=mapping(),
    ),
    "databases": entries(
        name=text(),
        owner=text(),
        encoding=text("UTF8"),
        lc_collate=text("C.UTF-8"),
        lc_ctype=text("C.UTF-8"),
        template=text("template0"),
        connection_limit={"type": "int", "default": -1},
        settings=mapping(),
        revoke_public={"type": "bool", "default": True},
        connect=names(),
    ),
    "schemas": entries(database=text(), name=text(), owner=text(), usage=names(), create=names()),
    "extensions": entries(database=text(), name=text(), schema=text("public")),
    "default_privileges": entries(
        database=text(),
        schema=text(),
        owner=text(),
        except_tables=names(),
        grants=entries(role=text(), **{kind: privileges(kind) for kind in PRIVILEGES}),
    ),
    "object_grants": entries(
        database=text(),
        schema=text(),
        role=text(),
        tables=mapping(),
        functions=mapping(),
    ),
    "cluster_may_be_missing": {"type": "bool", "default": False},
}


def role_names(wanted: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(where, role) for each role that is referred to, but not stated, in `wanted`."""
    for role in wanted["roles"]:
        yield from ((f"member_of of role {role['name']}", group) for group in role["member_of"])
    for database in wanted["databases"]:
        yield f"the owner of database {database['name']}", database["owner"]
        yield from ((f"connect of database {database['name']}", role) for role in database["connect"])
    for schema in wanted["schemas"]:
        yield f"the owner of schema {schema['name']}", schema["owner"]
        yield from ((f"schema {schema['name']}", role) for role in schema["usage"] + schema["create"])
    for entry in wanted["default_privileges"]:
        yield f"default_privileges of schema {entry['schema']}", entry["owner"]
        yield from (
            (f"default_privileges of schema {entry['schema']}", grant["role"]) for grant in entry["grants"]
        )
    for entry in wanted["object_grants"]:
        yield f"object_grants in schema {entry['schema']}", entry["role"]


def database_names(wanted: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(where, database) for each database that is referred to in `wanted`."""
    for role in wanted["roles"]:
        yield from (
            (f"settings_in_database of role {role['name']}", name) for name in role["settings_in_database"]
        )
    for kind in ("schemas", "extensions", "default_privileges", "object_grants"):
        yield from ((kind, entry["database"]) for entry in wanted[kind])


def all_names(wanted: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(what it is, name) for every name in `wanted`."""
    for kind, what in (
        ("roles", "role"),
        ("databases", "database"),
        ("schemas", "schema"),
        ("extensions", "extension"),
    ):
        yield from ((f"the name of a {what}", entry["name"]) for entry in wanted[kind])
    for kind in ("default_privileges", "object_grants", "extensions"):
        yield from ((f"a schema in {kind}", entry["schema"]) for entry in wanted[kind])
    yield from ((f"a role in {where}", name) for where, name in role_names(wanted))
    yield from ((f"a database in {where}", name) for where, name in database_names(wanted))


def refuse_bad_names(wanted: dict[str, Any]) -> Iterator[str]:
    for what, name in all_names(wanted):
        fault = name_fault(name)
        if fault:
            yield f"{what[0].upper()}{what[1:]}, {printable(name)!r}, {fault}."


def refuse_bad_roles(wanted: dict[str, Any], admin_role: str) -> Iterator[str]:
    for role in wanted["roles"]:
        name = role["name"]
        if name.startswith("pg_") or name.lower() in RESERVED_NAMES:
            yield f"Role {printable(name)!r} cannot be stated: PostgreSQL reserves that name."
        if name == admin_role:
            yield f"Role {name} cannot be stated: it is the superuser that this module connects as."
        if role["connection_limit"] < -1:
            yield f"Role {name}: connection_limit is -1 (no limit) or more, not {role['connection_limit']}."
        try:
            literal(role["password"] or "")
        except RefusedError:
            yield f"Role {name}: its password contains a NUL character or is not valid Unicode."


def refuse_twice_stated(wanted: dict[str, Any]) -> Iterator[str]:
    keys = {
        "roles": ("name",),
        "databases": ("name",),
        "schemas": ("database", "name"),
        "extensions": ("database", "name"),
        "default_privileges": ("database", "schema", "owner"),
    }
    for kind, key in keys.items():
        stated = Counter(tuple(entry[part] for part in key) for entry in wanted[kind])
        for name in (name for name, count in stated.items() if count > 1):
            yield f"{kind} states {printable('.'.join(name))} more than once."


def refuse_bad_settings(wanted: dict[str, Any]) -> Iterator[str]:
    stated = [(f"role {role['name']}", role["settings"]) for role in wanted["roles"]]
    stated += [(f"database {database['name']}", database["settings"]) for database in wanted["databases"]]
    for role in wanted["roles"]:
        for database, settings in role["settings_in_database"].items():
            stated.append((f"role {role['name']} in database {database}", settings))
    for where, settings in stated:
        if not isinstance(settings, dict):
            yield f"The settings of {printable(where)} are a dictionary of name and value, not {settings!r}."
            continue
        for name, value in settings.items():
            if value is None or isinstance(value, dict):
                yield f"Setting {name} of {printable(where)} needs a value: text, number, boolean or list."
                continue
            try:
                setting_assignment(name, value)
            except RefusedError as refused:
                yield f"The settings of {printable(where)}: {refused}"


def refuse_bad_object_grants(wanted: dict[str, Any]) -> Iterator[str]:
    for entry in wanted["object_grants"]:
        for kind in ("tables", "functions"):
            for name, stated in entry[kind].items():
                known = isinstance(stated, list) and set(stated) <= set(PRIVILEGES[kind])
                if not known:
                    allowed = ", ".join(PRIVILEGES[kind])
                    yield f"object_grants, {printable(name)} to {entry['role']}: needs a list of {allowed}."
                if kind == "functions" and not name.endswith(")"):
                    yield f"object_grants names a function with its arguments, as in {printable(name)}()."


def check(wanted: dict[str, Any], admin_role: str) -> None:
    """Raise RefusedError with a sentence for everything that is wrong with `wanted` in itself."""
    sentences = [
        *refuse_bad_names(wanted),
        *refuse_bad_roles(wanted, admin_role),
        *refuse_twice_stated(wanted),
    ]
    sentences += [*refuse_bad_settings(wanted), *refuse_bad_object_grants(wanted)]
    if sentences:
        raise RefusedError(*dict.fromkeys(sentences))
