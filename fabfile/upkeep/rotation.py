"""`fab rotate`: the service's password at the database becomes another, and nobody is cut (adr/0025).

The service has two logins with the same rights. A rotation gives the one that is not used a new password, and says
that new releases use it; when nobody holds the other any more, its password goes.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fabfile.database.asking import connection, place
from fabfile.errors import RefusedError
from fabfile.hosts import state, vault
from fabfile.hosts.environment import Environment
from fabfile.hosts.fleet import Fleet
from fabfile.hosts.inventory import PROJECT

CHOICE = "vault_database_login"
MIGRATOR = "vault_migrate_database_password"
BYTES = 24
SESSIONS = """SELECT r.rolname, r.rolcanlogin, host(a.client_addr), coalesce(a.application_name, '')
FROM pg_roles r LEFT JOIN pg_stat_activity a ON a.usename = r.rolname AND a.client_addr IS NOT NULL
WHERE r.rolname = ANY (%s) ORDER BY 1, 3, 4"""


@dataclass(frozen=True)
class Seen:
    """logins: who can log in now. holders: by login, who holds sessions, as "address application"."""

    logins: frozenset[str]
    holders: Mapping[str, Sequence[str]]


def logins(app: str) -> dict[str, str]:
    """The two logins of a service, each with the secret that it comes by."""
    return {app: "vault_database_password", f"{app}_b": "vault_database_password_b"}


class Secrets:
    """The vault of an environment: which login new releases use, and which have a password."""

    def __init__(self, environment: Environment, inventories: Path = PROJECT / "inventory") -> None:
        self.path = inventories / environment.name / "group_vars/all/vault.yml"
        if not self.path.is_file():
            raise RefusedError(
                f"{self.path} is not there: {environment.name} keeps its secrets elsewhere. "
                "By hand: docs/runbooks/rotate-credentials.md. Nothing was changed."
            )
        self._passphrase = vault.passphrase(again=False)
        self.text = vault.read(self.path, self._passphrase)
        self.logins = logins(environment.app)
        self.used = vault.value(self.text, CHOICE) or environment.app
        if self.used not in self.logins:
            raise RefusedError(
                f"{CHOICE} is {self.used}, neither {' nor '.join(self.logins)}. Nothing was changed."
            )
        (self.other,) = set(self.logins) - {self.used}

    @property
    def under_way(self) -> bool:
        """Whether both logins have a password."""
        return bool(self.value(self.logins[self.other]))

    def value(self, name: str) -> str:
        """A secret of the vault, "" when it has none."""
        return vault.value(self.text, name)

    def write(self, values: Mapping[str, str]) -> None:
        """Other values, whole or not at all. Raises RefusedError when somebody changed the vault meanwhile."""
        vault.change(self.path, self._passphrase, self.text, values)

    def begin(self) -> None:
        """A new password for the other login, which new releases use, and one for migrations, which are over soon."""
        new = {name: secrets.token_urlsafe(BYTES) for name in (self.logins[self.other], MIGRATOR)}
        self.write({**new, CHOICE: self.other})

    def end(self) -> None:
        """The login that is not used has no password any more."""
        self.write({self.logins[self.other]: ""})


def begin(environment: Environment, planned: bool) -> str:
    """Begin a rotation; says what was done, or would be, and what comes next. Raises RefusedError."""
    name = environment.name
    if {host.name for host in environment.app_hosts} <= {place.of(environment).host.name}:
        raise RefusedError(
            f"{name} has its database beside the service: it comes in by the socket, without a password. "
            "Nothing was changed."
        )
    kept = Secrets(environment)
    if kept.under_way:
        raise RefusedError(
            f"A rotation from {kept.other} to {kept.used} is under way: both have a password. Nothing was changed. "
            f"Type: fab rotate --end --env {name}"
        )
    if not planned:
        kept.begin()
    will = "would get" if planned else "has"
    return (
        f"{kept.other} {will} a new password in {kept.path}, and so {will} {environment.app}_migrate; releases that "
        f"start from then on come in as {kept.other}. {kept.used} keeps its own, so that what runs is not cut.\n"
        f"Then: ansible-playbook -i inventory/{name} site.yml; fab restart --env {name}; fab rotate --end --env {name}"
    )


def end(environment: Environment, planned: bool) -> str:
    """End a rotation when nobody needs the old password; else say who does. Raises RefusedError."""
    kept = Secrets(environment)
    if not kept.under_way:
        raise RefusedError(
            f"No rotation is under way: only {kept.used} has a password. Nothing was changed. To begin one: "
            f"fab rotate --env {environment.name}"
        )
    with connection.looking(environment, application="slipway rotate") as opened:
        seen = look(opened.execute(SESSIONS, [list(kept.logins)]).fetchall(), kept.logins)
    with Fleet(environment) as fleet:
        fleet.require_all()
        states = state.read(fleet)
    reasons = in_the_way(kept.used, kept.other, seen, states, environment.name)
    if reasons:
        raise RefusedError("\n".join([f"{kept.other} is needed still. Nothing was changed.", *reasons]))
    if not planned:
        kept.end()
    goes = "would go" if planned else "is gone"
    return (
        f"The password of {kept.other} {goes} from {kept.path}: nobody comes in by it.\n"
        f"Then: ansible-playbook -i inventory/{environment.name} site.yml, which takes it away from the database."
    )


def look(rows: Sequence[tuple[str, bool, str | None, str]], logins: Iterable[str]) -> Seen:
    """What the database says, of the rows of SESSIONS."""
    holders = {
        login: list(
            dict.fromkeys(
                f"{address} {application}"
                for role, _, address, application in rows
                if role == login and address
            )
        )
        for login in logins
    }
    return Seen(frozenset(role for role, can, *_ in rows if can), holders)


def in_the_way(used: str, other: str, seen: Seen, states: state.States, name: str) -> list[str]:
    """Why the password of `other` cannot go yet, each with what to type; empty when nobody needs it."""
    if used not in seen.logins:
        return [f"{used} cannot log in yet. Type: ansible-playbook -i inventory/{name} site.yml"]
    if seen.holders[other]:
        held = ", ".join(seen.holders[other][:6])
        return [
            f"Sessions came in by it: {held}. Type: fab restart --env {name}; an earlier release stays warm a while."
        ]
    reasons, live = [], {found.live for found in states.values()}
    for host, found in states.items():
        if extra := sorted(set(found.status.get("running") or []) - {found.live}):
            reasons.append(
                f"{host}: {', '.join(extra)} still runs, and may have started with it. Wait until it is stopped."
            )
    proven = {who.partition(" ")[0] for who in seen.holders[used] if who.partition("/")[2] in live}
    if len(proven) < len(states):
        reasons.append(
            f"{len(proven)} of {len(states)} app hosts are seen to come in as {used}; the live release of the others "
            f"was started before, or has asked the database nothing yet. Type: fab restart --env {name}"
        )
    return reasons
