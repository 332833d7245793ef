"""Where an environment's database is, and what its inventory expects of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from fabfile.errors import RefusedError
from fabfile.hosts.app_host import AppHost
from fabfile.hosts.policies import Budget

if TYPE_CHECKING:
    from fabfile.hosts.environment import Environment


class Asked(Protocol):
    """What a look has to know of an environment."""

    @property
    def name(self) -> str: ...
    @property
    def app(self) -> str: ...
    @property
    def app_hosts(self) -> tuple[AppHost, ...]: ...
    @property
    def budget(self) -> Budget: ...


@dataclass(frozen=True)
class Database:
    """app: the service's name, and its schema's. port: of the server's socket. replicas: how many standbys
    belong to it. physical_expected: backups_physical. overrides: db_status_thresholds. accepted: db_status_accepted.
    certificates: their folder there. here: this very host is it. sockets: the folder of the server's.
    """

    host: AppHost
    app: str
    name: str
    port: int
    version: str
    cluster: str
    replicas: int = 0
    backups_expected: bool = True
    physical_expected: bool = False
    overrides: Mapping[str, Any] = field(default_factory=dict)
    accepted: Any = ()
    certificates: str = "/etc/ssl/slipway"
    here: bool = False
    sockets: str = "/var/run/postgresql"


def of(found: Environment) -> Database:
    """The database of an environment. Raises RefusedError for values that cannot be meant."""
    # The program of the database's host has no inventory to read.
    from fabfile.hosts import environment

    variables = environment.variables_of(found.name)
    host = environment.host_of(found.name, "db")
    for what, text in (("address", host.address), ("user", host.user)):
        if text.startswith("-") or not text:
            raise RefusedError(
                f"The inventory gives {host.name} the {what} {text!r}, which SSH would read as an option. "
                "Nothing was changed."
            )
    overrides = variables.of(host.name, "db_status_thresholds", {})
    if not isinstance(overrides, Mapping):
        raise RefusedError(
            "db_status_thresholds is not a mapping of a check to [warning, critical]. Nothing was read."
        )
    return Database(
        host=host,
        app=found.app,
        name=str(variables.of(host.name, "postgresql_database", found.app)),
        port=int(variables.of(host.name, "postgresql_port", 5432)),
        version=str(variables.of(host.name, "postgresql_version", "14")),
        cluster=str(variables.of(host.name, "postgresql_cluster", "main")),
        replicas=int(variables.of(host.name, "db_status_replicas", 0)),
        backups_expected=bool(variables.of(host.name, "db_status_backups_expected", True)),
        physical_expected=bool(variables.of(host.name, "backups_physical", False)),
        overrides=overrides,
        accepted=variables.of(host.name, "db_status_accepted", []) or [],
        certificates=str(variables.of(host.name, "certificates_folder", "/etc/ssl/slipway")),
    )


def facts_of(database: Database) -> dict[str, str]:
    """Where its host's facts are (host_facts.collect), by what they are called there."""
    return {
        "data": f"/var/lib/postgresql/{database.version}/{database.cluster}",
        "unit": f"postgresql@{database.version}-{database.cluster}.service",
        "lock": f"{database.sockets}/.s.PGSQL.{database.port}.lock",
        "markers": f"/var/backups/slipway/{database.name}",
        "physical": f"/var/backups/slipway-physical/{database.name}",
        "live": f"/srv/{database.app}/current/manifest.json",
        "releases": f"/srv/{database.app}/releases",
        "server": f"/usr/lib/postgresql/{database.version}",
        "look": f"/usr/local/lib/slipway/{database.app}/look-at-postgresql-files",
        "certificate": f"{database.certificates}/host.pem",
    }
