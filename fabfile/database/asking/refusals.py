"""Why a server takes no connection, by its own words: it is down, it starts, it is full, or it refuses who asks."""

from __future__ import annotations

import psycopg

from fabfile.database import texts
from fabfile.hosts.answers import UnreachableError
from fabfile.hosts.app_host import AppHost

FULL = ("connection slots are reserved", "too many clients", "sorry, too many")
OF_ROLE, OF_DATABASE = "too many connections for role", "too many connections for database"
STARTING = (
    "the database system is starting up",
    "the database system is not yet accepting connections",
    "the database system is shutting down",
    "the database system is in recovery mode",
    "the database system is not accepting connections",
)
# Nothing listens, or nothing is there to listen on.
ABSENT = (
    "No such file or directory",
    "Connection refused",
    "server closed the connection",
    "Connection reset",
)


class DownError(UnreachableError):
    """The host answers, its server does not take a connection. cause: PostgreSQL's or the socket's own word."""

    def __init__(self, message: str, cause: psycopg.OperationalError) -> None:
        super().__init__(message)
        self.cause = cause

    @property
    def reason(self) -> str:
        """The server's own words."""
        return _reason(self.cause)


class RoleFullError(DownError):
    """A role, or the database, has all the sessions it may have; the server may have room for others."""


class FullError(DownError):
    """The server lives and has no connection left for an ordinary role."""


class StartingError(DownError):
    """The server starts, recovers or stops, and takes nobody yet, or any more."""


class RefusedHereError(DownError):
    """The server lives and does not let this role in."""


def of(host: AppHost, database: str, role: str, failure: psycopg.OperationalError) -> DownError:
    """The failure of a connect by its kind, in a sentence."""
    said, reason = str(failure), _reason(failure)
    where = f"PostgreSQL on {host.name} ({host.address})"
    if OF_ROLE in said:
        return RoleFullError(
            f"{role} has all the sessions that it may have on {host.name} ({host.address}): {reason}. Customers are "
            "served by other roles. Type: fab db-status",
            failure,
        )
    if OF_DATABASE in said:
        return RoleFullError(
            f"The database {texts.name(database)} on {host.name} ({host.address}) has all the sessions that it may "
            f"have: {reason}. Type: fab db-status",
            failure,
        )
    if any(part in said for part in FULL):
        return FullError(f"{where} has no connection left: {reason}. Type: fab db-status", failure)
    if any(part in said for part in STARTING):
        return StartingError(f"{where} takes no connection: {reason}. Type: fab db-status", failure)
    if any(part in said for part in ABSENT) or "FATAL" not in said:
        return DownError(f"{where} takes no connection: {reason}. Type: fab db-status", failure)
    return RefusedHereError(
        f"{where} runs and does not let {role} in: {reason}. Type: fab db-status", failure
    )


def _reason(failure: psycopg.OperationalError) -> str:
    """The server's words; what libpq says of them before goes."""
    return texts.plain(str(failure).strip().rpartition("failed: ")[2].removeprefix("FATAL: "), 300).rstrip(
        "."
    )
