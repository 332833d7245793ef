"""The database of this host, by a service's settings and credentials, and how a driver is told.

Settings are variables with the service's prefix, as `BLOG_DATABASE_HOST`; a password is a file of the credentials
directory, which systemd names, and never a variable that it was started with.
"""

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import URL, Engine, create_engine, pool
from sqlalchemy.ext.asyncio import create_async_engine

from slipway_migrator.drivers import DRIVERS, installed
from slipway_migrator.errors import ConfigurationError
from slipway_migrator.project import Project

IDENTIFIER = re.compile(r"[a-z_][a-z0-9_$-]{0,62}")
HOST = re.compile(r"/[^\x00-\x1f]{1,90}|[A-Za-z0-9][A-Za-z0-9.:-]{0,252}")
RELEASE = re.compile(r"[A-Za-z0-9._-]{1,58}")
NUMBER = re.compile(r"\d{1,4}(\.\d{1,6})?")
A_NAME = "a PostgreSQL name: lower case, 63 characters at most"
VARIABLES = (
    "DATABASE_HOST",
    "DATABASE_PORT",
    "DATABASE_NAME",
    "DATABASE_USER",
    "DATABASE_CA",
    "DATABASE_OWNER",
    "DATABASE_SCHEMA",
    "MIGRATE_DATABASE_USER",
    "MIGRATE_LOCK_WAIT",
    "MIGRATE_RETRY_SECONDS",
    "RELEASE",
)


@dataclass(frozen=True)
class Settings:
    """lock_wait, retry_seconds: seconds. owner: "" leaves what a migration creates with the migrating role."""

    release: str
    host: str
    port: int
    name: str
    ca: str
    user: str
    password: str | None
    owner: str
    schema: str
    lock_wait: float
    retry_seconds: float

    @property
    def where(self) -> str:
        """Which database, in words."""
        return f"database {self.name} at {self.host}, port {self.port}"

    @property
    def is_local(self) -> bool:
        """Whether the server is reached over a socket directory of this host."""
        return self.host.startswith("/")


class _Reader:
    """Takes settings from the environment and keeps a sentence for each that cannot be used."""

    def __init__(self, prefix: str, environ: Mapping[str, str]) -> None:
        self.prefix, self.environ, self.wrong = prefix, environ, list[str]()

    def text(self, name: str, default: str, form: "re.Pattern[str]", rule: str, empty: bool = False) -> str:
        value = self.environ.get(self.prefix + name, default)
        if not form.fullmatch(value) and not (empty and value == ""):
            self.wrong.append(f"{self.prefix}{name} is {value!r}: it must be {rule}.")
        return value

    def number(self, name: str, default: str, least: float, most: float, rule: str) -> float:
        value = self.environ.get(self.prefix + name, default)
        found = float(value) if NUMBER.fullmatch(value) or value.isdecimal() else -1.0
        if not least <= found <= most:
            self.wrong.append(f"{self.prefix}{name} is {value!r}: it must be {rule}.")
        return found

    def secret(self, name: str) -> str | None:
        if self.prefix + name.upper() in self.environ:
            self.wrong.append(
                f"{self.prefix}{name.upper()} is set in the environment, where other processes can read it: remove "
                f"it and put the value into the file {name} of the credentials directory."
            )
        try:
            return credential(name, self.environ)
        except ConfigurationError as failure:
            self.wrong.append(str(failure))
            return None


def credential(name: str, environ: Mapping[str, str]) -> str | None:
    """Raises ConfigurationError where it is there and cannot be read."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    try:
        return Path(folder, name).read_text(encoding="utf-8").strip() or None if folder else None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as failure:
        raise ConfigurationError(f"The credential {name} in {folder!r} cannot be read: {failure}.") from None


def read(
    project: Project, work: Literal["migrate", "rows"], environ: Mapping[str, str] = os.environ
) -> Settings:
    """The settings for who changes the schema ("migrate") or the rows. Raises ConfigurationError."""
    word, own = project.name.replace("-", "_"), _Reader(project.environment_prefix, environ)
    credential = "migrate_database_password" if work == "migrate" else "database_password"
    user, default = (
        ("MIGRATE_DATABASE_USER", f"{word}_migrate") if work == "migrate" else ("DATABASE_USER", word)
    )
    settings = Settings(
        release=own.text(
            "RELEASE", "unreleased", RELEASE, "1 to 58 letters, digits, dots, dashes or underscores"
        ),
        host=own.text(
            "DATABASE_HOST",
            "/var/run/postgresql",
            HOST,
            "a host name, or the absolute path of the socket directory, 91 characters at most",
        ),
        port=int(own.number("DATABASE_PORT", "5432", 1, 65535, "a port number, 1 to 65535")),
        name=own.text("DATABASE_NAME", word, IDENTIFIER, A_NAME),
        ca=environ.get(f"{own.prefix}DATABASE_CA", ""),
        user=own.text(user, default, IDENTIFIER, A_NAME),
        password=own.secret(credential),
        owner=own.text("DATABASE_OWNER", f"{word}_owner", IDENTIFIER, f"{A_NAME}, or empty", empty=True),
        schema=own.text("DATABASE_SCHEMA", project.schema, IDENTIFIER, A_NAME),
        lock_wait=own.number("MIGRATE_LOCK_WAIT", "60", 0.001, 600, "seconds, above 0, at most 600"),
        retry_seconds=own.number("MIGRATE_RETRY_SECONDS", "120", 0, 600, "seconds, 0 to 600"),
    )
    wrong = own.wrong + (
        [] if own.wrong or settings.is_local else _transport(own.prefix, credential, settings)
    )
    if wrong:
        raise ConfigurationError(*wrong)
    return settings


def _transport(prefix: str, credential: str, settings: Settings) -> list[str]:
    wrong, remote = [], f"{prefix}DATABASE_HOST is the host name {settings.host!r}"
    if not _are_certificates(settings.ca):
        wrong.append(
            f"{prefix}DATABASE_CA is {settings.ca!r} and {remote}: it must be the absolute path of a readable file of "
            "CA certificates, which the server's certificate is checked against."
        )
    if not settings.password:
        wrong.append(
            f"The credential {credential} is not set and {remote}: put the password into the credentials directory, or "
            f"set {prefix}DATABASE_HOST to a socket directory, where the server knows the process by its user."
        )
    return wrong


def _are_certificates(path: str) -> bool:
    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError):
        return False
    return Path(path).is_absolute()


def driver_of(project: Project, url: str | None) -> str:
    """psycopg, psycopg2 or asyncpg: what the service says, its alembic.ini's address, or what is installed."""
    said = (url or "").partition("://")[0].partition("+")[2]
    chosen = project.driver or (said if said in DRIVERS else None) or installed()
    if chosen not in DRIVERS:
        raise ConfigurationError(
            f"The service has none of the drivers {', '.join(DRIVERS)}"
            + (f"; [tool.slipway] driver is {chosen!r}." if chosen else ": its lock must pin one.")
        )
    return chosen


def url_of(settings: Settings, driver: str) -> URL:
    """The address. A socket directory goes into the query, where each driver looks for it."""
    query: dict[str, str] = {}
    if settings.is_local:
        query = {"host": settings.host, "port": str(settings.port)}
    elif driver == "asyncpg":
        query = {"ssl": "verify-full"}
    return URL.create(
        f"postgresql+{driver}",
        username=settings.user,
        password=settings.password,
        host=None if settings.is_local else settings.host,
        port=None if settings.is_local else settings.port,
        database=settings.name,
        query=query,
    )


def engine_of(url: URL) -> Engine:
    """An engine whose connections nobody keeps."""
    if url.drivername.endswith("asyncpg"):
        return create_async_engine(url, poolclass=pool.NullPool, hide_parameters=True).sync_engine
    return create_engine(url, poolclass=pool.NullPool, hide_parameters=True)
