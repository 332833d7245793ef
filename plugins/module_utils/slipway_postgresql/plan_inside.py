"""The statements that bring the inside of one database from what is there to what is wanted."""

from __future__ import annotations

from typing import Any

from .quoting import identifier, printable
from .reading import object_key
from .statements import Change, Grantable, Statement, as_acl, changes, grants
from .wanted import PRIVILEGES

# Kinds of object: the word of GRANT … ON, the letter of pg_default_acl, the word for people.
SQL_KINDS = {"tables": "TABLE ", "sequences": "SEQUENCE ", "functions": "ROUTINE ", "types": "TYPE "}
LETTERS = {"tables": "r", "sequences": "S", "functions": "f", "types": "T"}
SINGULAR = {"tables": "table", "sequences": "sequence", "functions": "function", "types": "type"}

# PUBLIC may use functions and types unless told otherwise; tables and sequences it may not.
KINDS_CLOSED_TO_PUBLIC = ("tables", "sequences")

Wanted = dict[str | None, list[str]]


def of(entries: list[dict[str, Any]], database: str) -> list[dict[str, Any]]:
    return [entry for entry in entries if entry["database"] == database]


def plan_schema(
    schema: dict[str, Any], existing: dict[str, Any] | None, managed: list[str]
) -> list[Statement]:
    name, owner = identifier(schema["name"]), schema["owner"]
    shown, statements = f"schema {schema['database']}.{schema['name']}", []
    has = existing or {"owner": owner, "acl": []}
    if existing is None:
        sql = f"CREATE SCHEMA {name} AUTHORIZATION {identifier(owner)}"
        statements.append(Statement(f"create {shown}", sql, "", f"{shown}: owner {owner}"))
    elif has["owner"] != owner:
        before, sql = (
            f"{shown}: owner {printable(has['owner'])}",
            f"ALTER SCHEMA {name} OWNER TO {identifier(owner)}",
        )
        statements.append(Statement(f"give {shown} to {owner}", sql, before, f"{shown}: owner {owner}"))
    wanted: Wanted = {}
    for privilege in ("usage", "create"):
        for role in schema[privilege]:
            wanted.setdefault(role, []).append(privilege.upper())
    if schema["name"] == "public":
        wanted[None] = ["USAGE"]
    acl = [entry for entry in as_acl(has["acl"]) if entry[0] != has["owner"]]
    target = Grantable(name, "schema", f"{schema['database']}.{schema['name']}", owner, acl)
    return statements + grants(changes(target, wanted, [*managed, None]), "SCHEMA ")


def plan_public(database: str, existing: dict[str, Any], managed: list[str]) -> list[Statement]:
    """Nobody that is managed here, and not PUBLIC, creates anything in a `public` that is not stated."""
    acl = as_acl(existing["acl"])
    wanted: Wanted = {
        role: [privilege for holder, privilege, _ in acl if holder == role and privilege != "CREATE"]
        for role in (*managed, None)
    }
    target = Grantable('"public"', "schema", f"{database}.public", existing["owner"], acl)
    return grants(changes(target, wanted, [*managed, None]), "SCHEMA ")


def plan_extension(extension: dict[str, Any], schema_now: str | None) -> list[Statement]:
    name, schema = identifier(extension["name"]), extension["schema"]
    shown = f"extension {extension['database']}.{extension['name']}"
    if schema_now == schema:
        return []
    after = f"{shown}: in schema {schema}"
    if schema_now is None:
        return [
            Statement(f"create {shown}", f"CREATE EXTENSION {name} SCHEMA {identifier(schema)}", "", after)
        ]
    before, sql = (
        f"{shown}: in schema {printable(schema_now)}",
        f"ALTER EXTENSION {name} SET SCHEMA {identifier(schema)}",
    )
    return [Statement(f"move {shown} to schema {schema}", sql, before, after)]


def grants_of(entry: dict[str, Any], kind: str) -> Wanted:
    wanted: Wanted = {}
    for grant in entry["grants"]:
        wanted.setdefault(grant["role"], []).extend(grant[kind])
    return wanted


def plan_defaults(entry: dict[str, Any], current: dict[str, Any], managed: list[str]) -> list[Statement]:
    """What objects that `owner` will create in `schema` are granted."""
    schema, owner, statements = entry["schema"], entry["owner"], []
    prefix = f"ALTER DEFAULT PRIVILEGES FOR ROLE {identifier(owner)} IN SCHEMA {identifier(schema)} "
    for kind in PRIVILEGES:
        acl = [
            privilege
            for row in current["default_acl"]
            if (row["owner"], row["schema"], row["kind"]) == (owner, schema, LETTERS[kind])
            for privilege in as_acl(row["acl"])
        ]
        name = f"of {owner} in schema {entry['database']}.{schema}"
        target = Grantable(kind.upper(), f"future {kind}", name, owner, acl)
        statements += grants(changes(target, grants_of(entry, kind), [*managed, None]), "", prefix)
    return statements


def plan_objects(
    database: str, current: dict[str, Any], wanted: dict[str, Any], managed: list[str]
) -> list[Statement]:
    """What existing objects are granted: the same as future ones, and what object_grants says of them.

    The excepted tables were given their privileges by whoever made them: only object_grants touches those.
    """
    defaults, named = of(wanted["default_privileges"], database), of(wanted["object_grants"], database)
    listed_schemas = {entry["schema"] for entry in defaults}
    excepted = {(entry["schema"], table) for entry in defaults for table in entry["except_tables"]}
    found: dict[str, list[Change]] = {kind: [] for kind in PRIVILEGES}
    for thing in current["objects"]:
        kind, to_have = thing["kind"], Wanted()
        exact: list[str | None] = []
        if thing["schema"] in listed_schemas and (thing["schema"], thing["name"]) not in excepted:
            exact += [*managed, None] if kind in KINDS_CLOSED_TO_PUBLIC else managed
            for entry in (entry for entry in defaults if entry["schema"] == thing["schema"]):
                for role, privileges in grants_of(entry, kind).items():
                    to_have.setdefault(role, []).extend(privileges)
        for entry in named:
            for name, privileges in entry.get(kind, {}).items():
                if current["named"].get(object_key(kind, entry["schema"], name)) == thing["oid"]:
                    to_have.setdefault(entry["role"], []).extend(privileges)
                    exact.append(entry["role"])
        shown = f"{database}.{thing['schema']}.{thing['name']}"
        target = Grantable(thing["identity"], SINGULAR[kind], shown, thing["owner"], as_acl(thing["acl"]))
        found[kind] += changes(target, to_have, exact)
    return [statement for kind in PRIVILEGES for statement in grants(found[kind], SQL_KINDS[kind])]


def plan_inside(
    database: str, current: dict[str, Any], wanted: dict[str, Any], managed: list[str]
) -> list[Statement]:
    """Statements to run, in this order and in one transaction, inside `database`."""
    statements = []
    schemas = of(wanted["schemas"], database)
    for schema in schemas:
        statements += plan_schema(schema, current["schemas"].get(schema["name"]), managed)
    stated = any(entry["name"] == database for entry in wanted["databases"])
    if stated and "public" in current["schemas"] and all(schema["name"] != "public" for schema in schemas):
        statements += plan_public(database, current["schemas"]["public"], managed)
    for extension in of(wanted["extensions"], database):
        statements += plan_extension(extension, current["extensions"].get(extension["name"]))
    for entry in of(wanted["default_privileges"], database):
        statements += plan_defaults(entry, current, managed)
    return statements + plan_objects(database, current, wanted, managed)


def missing_objects(database: str, current: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Objects that object_grants names and that are not there yet."""
    missing = []
    for entry in of(wanted["object_grants"], database):
        for kind in ("tables", "functions"):
            for name in entry[kind]:
                if current["named"].get(object_key(kind, entry["schema"], name)) is None:
                    missing.append(f"{database}.{entry['schema']}.{printable(name)}")
    return missing


def foreign_tables(database: str, current: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Tables in a schema with default privileges whose owner is another role, so that those never applied."""
    owners: dict[str, set[str]] = {}
    for entry in of(wanted["default_privileges"], database):
        owners.setdefault(entry["schema"], set()).add(entry["owner"])
    return [
        f"{database}.{thing['schema']}.{printable(thing['name'])} belongs to {printable(thing['owner'])}"
        for thing in current["objects"]
        if thing["kind"] == "tables"
        and thing["schema"] in owners
        and thing["owner"] not in owners[thing["schema"]]
    ]
