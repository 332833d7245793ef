"""How many sessions there may be: the server's, a role's, the database's, and what a deploy needs of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fabfile.database import texts, units
from fabfile.database.checks.judging import About, Check, Judged, measured, named, stated
from fabfile.database.checks.sections.sessions import SESSIONS, Session
from fabfile.database.findings import Level, Table


@dataclass(frozen=True)
class Limits:
    maximum: int
    reserved: int
    used: int


@dataclass(frozen=True)
class Usage:
    role: str
    application: str
    state: str
    sessions: int


@dataclass(frozen=True)
class Limit:
    """kind: role or database. used: sessions that it has, of the maximum that it may have."""

    kind: str
    name: str
    maximum: int
    used: int


def connections(about: About, limits: list[Limits], usage: list[Usage]) -> Judged:
    """Connections against what ordinary roles may have."""
    one = limits[0]
    room = one.maximum - one.reserved
    top = usage[0] if usage else None
    most = f", most of them {top.sessions} of {texts.plain(top.role, 40)} {top.state}".rstrip() if top else ""
    percent = 100 * one.used / max(1, room)
    yield measured(
        about,
        "connections",
        percent,
        f"{one.used} of {room} connections are taken, {percent:.0f} %{most}",
        "fab db-activity",
    )
    rows = tuple(
        (texts.plain(row.role), texts.plain(row.application), row.state, row.sessions) for row in usage
    )
    yield Table("Connections by role and state", ("role", "application", "state", "sessions"), rows)


def budget(about: About, limits: list[Limits]) -> Judged:
    """Whether all app hosts fit, two releases each."""
    room = limits[0].maximum - limits[0].reserved
    if not about.budget:
        return
    fits = about.budget <= room
    yield stated(
        about,
        "connection-budget",
        Level.OK if fits else Level.CRITICAL,
        f"A deploy may need {about.budget} connections, and there are {room}"
        + (
            "."
            if fits
            else ": raise postgresql_max_connections, or use smaller pools, before the next deploy."
        ),
        "fab deploy --plan",
    )


def of_roles(about: About, limits: list[Limit], sessions: list[Session]) -> Judged:
    """Roles and the database that may have no more sessions; the server may have room for others all the same."""
    near = [one for one in limits if _level(about, one) is not Level.OK]
    for one in near:
        holders = [
            each for each in sessions if one.name == (each.role if one.kind == "role" else each.database)
        ]
        holders = sorted(
            (each for each in holders if each.backend_type == "client backend"),
            key=lambda each: -each.connected_seconds,
        )
        said = (
            f"The {one.kind} {texts.name(one.name)} has {one.used} of the {one.maximum} sessions it may have"
            f"{_of(holders)}"
        )
        # Only the tools' own: of a service's sessions nobody knows which is needless.
        ending = holders[0].ending if holders and holders[0].application.startswith("slipway ") else ""
        role = one.name if one.kind == "role" else ""
        yield measured(
            about, "role-limits", _percent(one), said, ending or "fab db-activity --idle", role=role,
            subjects=(one.name,),
        )  # fmt: skip
    if not near:
        said = f"None of {len(limits)} limits of a role or the database is reached."
        yield stated(about, "role-limits", Level.OK, said)


def _of(holders: Sequence[Session]) -> str:
    each = [f"{one.who} for {units.duration(one.connected_seconds)}" for one in holders]
    return f": {named(each)}" if each else ""


def _percent(one: Limit) -> float:
    return 100 * one.used / one.maximum


def _level(about: About, one: Limit) -> Level:
    role = one.name if one.kind == "role" else ""
    return about.threshold("role-limits", role).level(_percent(one))


CHECKS = (
    Check("connections", (("limits", Limits), ("usage", Usage)), connections),
    Check("role-limits", (("role_limits", Limit), SESSIONS), of_roles),
    Check("connection-budget", (("limits", Limits),), budget),
)
