"""plan(current, wanted): the statements that are missing between the two, or the reason there can be none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from . import plan_cluster as cluster
from .plan_inside import of, plan_inside
from .quoting import RefusedError, printable
from .reading import databases_of_interest, empty_database
from .statements import Statement
from .wanted import database_names, role_names


@dataclass
class Plan:
    """Statements by the connection they need, `inside` by database. `created`: the new databases; `rekeyed`: the
    roles whose password is to be another."""

    before_databases: list[Statement] = field(default_factory=list)
    new_databases: list[Statement] = field(default_factory=list)
    after_databases: list[Statement] = field(default_factory=list)
    passwords: list[Statement] = field(default_factory=list)
    rekeyed: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    inside: dict[str, list[Statement]] = field(default_factory=dict)

    @property
    def statements(self) -> list[Statement]:
        inside = [statement for statements in self.inside.values() for statement in statements]
        return [*self.before_databases, *self.new_databases, *self.after_databases, *self.passwords, *inside]

    @property
    def labels(self) -> list[str]:
        return [statement.label for statement in self.statements]


def locale_key(locale: str) -> str:
    """`C.UTF-8` and `C.utf8` are one locale."""
    name, dot, encoding = locale.partition(".")
    return name + dot + encoding.lower().replace("-", "")


def encoding_key(encoding: str) -> str:
    return encoding.upper().replace("-", "").replace("_", "")


def refuse_other_locale(current: dict[str, Any], wanted: dict[str, Any]) -> Iterator[str]:
    for database in wanted["databases"]:
        existing = current["databases"].get(database["name"])
        if existing is None:
            continue
        differs = encoding_key(existing["encoding"]) != encoding_key(database["encoding"]) or any(
            locale_key(existing[kind]) != locale_key(database[kind]) for kind in ("lc_collate", "lc_ctype")
        )
        if differs:
            there, asked = (
                f"{entry['encoding']} with lc_collate {entry['lc_collate']} and lc_ctype {entry['lc_ctype']}"
                for entry in (existing, database)
            )
            yield (
                f"Database {database['name']} exists as {there}, but {asked} is wanted. "
                f"A database that exists keeps its locale, and none is ever recreated here. "
                f"Either state what is there, or move the data: pg_dump, ALTER DATABASE … RENAME TO …, "
                f"run this again, pg_restore."
            )


def refuse_unknown_names(current: dict[str, Any], wanted: dict[str, Any]) -> Iterator[str]:
    roles = {role["name"] for role in wanted["roles"]} | set(current["role_names"])
    for where, role in role_names(wanted):
        if role not in roles:
            yield f"Role {printable(role)} ({printable(where)}) neither exists nor is stated in roles."
    databases = {database["name"] for database in wanted["databases"]} | set(current["databases"])
    for where, database in database_names(wanted):
        if database not in databases:
            yield f"Database {printable(database)} ({printable(where)}) neither exists nor is stated."
    for entry in wanted["default_privileges"]:
        stated = {schema["name"] for schema in of(wanted["schemas"], entry["database"])}
        inside = current["inside"].get(entry["database"]) or empty_database(
            current["version_num"], entry["database"], wanted
        )
        if entry["schema"] not in stated | set(inside["schemas"]):
            yield f"Schema {printable(entry['schema'])} (default_privileges) neither exists nor is stated."
    for extension in wanted["extensions"]:
        if extension["name"] not in current["available_extensions"]:
            yield (
                f"Extension {printable(extension['name'])} is not on this host: install its package "
                f"(contributed extensions come with postgresql-{current['version_num'] // 10000})."
            )


def refuse_server(current: dict[str, Any], wanted: dict[str, Any], version: str) -> Iterator[str]:
    if str(current["version_num"] // 10000) != version:
        yield (
            f"The server that answers is PostgreSQL {current['version']}, not {version}: the port or the "
            f"socket directory belongs to another cluster (pg_lsclusters lists them)."
        )
    if not current["superuser"]:
        yield "The role that this connects as is no superuser, so it cannot state roles and privileges."


def plan(current: dict[str, Any], wanted: dict[str, Any]) -> Plan:
    """What to do to get from `current` (reading.read) to `wanted` (the module's arguments)."""
    managed = [role["name"] for role in wanted["roles"]]
    result = Plan()
    for role in wanted["roles"]:
        result.before_databases += cluster.plan_role(role, current["roles"].get(role["name"]))
    for role in wanted["roles"]:
        result.before_databases += cluster.plan_memberships(role, current)
        result.before_databases += cluster.plan_role_settings(role, current)
        existing = current["roles"].get(role["name"])
        passwords = cluster.plan_password(role, existing)
        result.passwords += passwords
        if passwords and existing and existing["rolpassword"]:
            result.rekeyed.append(role["name"])
    for database in wanted["databases"]:
        existing = current["databases"].get(database["name"])
        if existing is None:
            result.created.append(database["name"])
            result.new_databases.append(cluster.plan_new_database(database))
        result.after_databases += cluster.plan_database(database, existing, current, managed)
    for role in wanted["roles"]:
        result.after_databases += cluster.plan_role_settings_in_databases(role, current)
    for name in databases_of_interest(wanted):
        state = current["inside"].get(name) or empty_database(current["version_num"], name, wanted)
        result.inside[name] = plan_inside(name, state, wanted, managed)
    return result


def refuse(current: dict[str, Any], wanted: dict[str, Any], version: str) -> None:
    """Raise RefusedError if the server that was found cannot become what is wanted."""
    sentences = list(refuse_server(current, wanted, version))
    if not sentences:
        sentences = [*refuse_other_locale(current, wanted), *refuse_unknown_names(current, wanted)]
    if sentences:
        raise RefusedError(*dict.fromkeys(sentences))


def refuse_cut(current: dict[str, Any], differences: Plan) -> None:
    """Raise RefusedError where a password would change under who came in by it: their next connection would fail."""
    held = {role: who for role, who in current["sessions"].items() if role in differences.rekeyed}
    if held:
        raise RefusedError(
            *(
                f"The password of role {printable(role)} is to change, and sessions came in by the one there is "
                f"({', '.join(printable(each) for each in who[:4])}): every new connection of theirs would be refused."
                for role, who in held.items()
            ),
            "Put the old one back, and rotate without a cut: fab rotate (docs/runbooks/rotate-credentials.md).",
        )


def refuse_standby(current: dict[str, Any], differences: Plan) -> None:
    if current["in_recovery"] and differences.statements:
        raise RefusedError(
            "This server is a standby and takes its roles and databases from its primary: state them there. "
            f"It differs in: {'; '.join(differences.labels)}."
        )
