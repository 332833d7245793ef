"""A planned statement, and how granted privileges become statements."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from .quoting import identifier, printable

# A privilege someone holds: (grantee, privilege, grantable); the grantee None is PUBLIC.
Acl = list[tuple[str | None, str, bool]]

SHOWN_OBJECTS = 5


@dataclass(frozen=True)
class Statement:
    """SQL, its label for people, and the lines that the diff shows; only the SQL may hold a verifier."""

    label: str
    sql: str
    before: str = ""
    after: str = ""


@dataclass(frozen=True)
class Grantable:
    """Something that privileges are granted on: `on` in SQL, `kind` and `name` for people."""

    on: str
    kind: str
    name: str
    owner: str
    acl: Acl


@dataclass(frozen=True)
class Change:
    """What one grantee has on one object, and what it is to have."""

    target: Grantable
    grantee: str | None
    has: frozenset[str]
    wanted: frozenset[str]
    regrantable: frozenset[str]

    def missing(self) -> frozenset[str]:
        return self.wanted - self.has

    def superfluous(self) -> frozenset[str]:
        return self.has - self.wanted

    def passed_on(self) -> frozenset[str]:
        return self.regrantable & self.wanted


def as_acl(rows: Iterable[tuple[str | None, str, bool]]) -> Acl:
    return [(row[0], row[1], row[2]) for row in rows]


def grantee_sql(grantee: str | None) -> str:
    return "PUBLIC" if grantee is None else identifier(grantee)


def grantee_name(grantee: str | None) -> str:
    return "PUBLIC" if grantee is None else printable(grantee)


def changes(
    target: Grantable, wanted: Mapping[str | None, Iterable[str]], exact: Iterable[str | None]
) -> list[Change]:
    """Where `target` differs from `wanted`; grantees in `exact` lose whatever else they have."""
    grantees = dict.fromkeys([*wanted, *exact])
    found = []
    for grantee in grantees:
        if grantee == target.owner:
            continue
        has = frozenset(privilege for holder, privilege, _ in target.acl if holder == grantee)
        regrantable = frozenset(
            privilege for holder, privilege, option in target.acl if holder == grantee and option
        )
        to_have = frozenset(wanted.get(grantee, ()))
        if grantee not in exact:
            to_have |= has
            regrantable = frozenset()
        if has != to_have or regrantable:
            found.append(Change(target, grantee, has, to_have, regrantable))
    return found


def listed(privileges: Iterable[str]) -> str:
    return ", ".join(sorted(privileges))


def shown(names: list[str]) -> str:
    more = len(names) - SHOWN_OBJECTS
    text = ", ".join(printable(name) for name in names[:SHOWN_OBJECTS])
    return f"{text} and {more} more" if more > 0 else text


def described(change: Change, privileges: frozenset[str], option: frozenset[str]) -> str:
    held = ", ".join(
        f"{privilege} with grant option" if privilege in option else privilege
        for privilege in sorted(privileges)
    )
    target = f"{change.target.kind} {printable(change.target.name)}"
    return f"{target}: {grantee_name(change.grantee)} has {held}" if held else ""


def grants(found: list[Change], sql_kind: str, prefix: str = "") -> list[Statement]:
    """GRANT and REVOKE statements for `found`; objects that need the same share one statement.

    `sql_kind` stands before the objects (`TABLE`); `prefix` before GRANT (`ALTER DEFAULT PRIVILEGES …`), with
    `on` then being the kind itself (`TABLES`).
    """
    actions: tuple[tuple[str, str, str, Callable[[Change], frozenset[str]]], ...] = (
        ("GRANT", "TO", "grant", Change.missing),
        ("REVOKE", "FROM", "revoke", Change.superfluous),
        ("REVOKE GRANT OPTION FOR", "FROM", "revoke the grant option for", Change.passed_on),
    )
    statements = []
    for verb, preposition, word, difference in actions:
        groups: dict[tuple[str | None, str], list[Change]] = {}
        for change in found:
            if difference(change):
                groups.setdefault((change.grantee, listed(difference(change))), []).append(change)
        for (grantee, privileges), group in groups.items():
            kind = group[0].target.kind
            names = shown([change.target.name for change in group])
            objects = ", ".join(change.target.on for change in group)
            who = grantee_name(grantee)
            whom = f"{preposition} {grantee_sql(grantee)}"
            statements.append(
                Statement(
                    label=f"{word} {privileges} on {kind} {names} {preposition.lower()} {who}",
                    sql=f"{prefix}{verb} {privileges} ON {sql_kind}{objects} {whom}",
                    before="\n".join(described(change, change.has, change.regrantable) for change in group),
                    after="\n".join(described(change, change.wanted, frozenset()) for change in group),
                )
            )
    return statements
