"""What drivers and an env.py find in the environment: the database's address, in variables of the service's own."""

import os
from collections.abc import Mapping

from sqlalchemy import URL

from slipway_migrator.address import Settings, credential
from slipway_migrator.drivers import installed
from slipway_migrator.errors import ConfigurationError
from slipway_migrator.project import CREDENTIAL, Project

# What libpq and asyncpg read besides the address; without the first they look for a home directory.
ALWAYS = {"PGPASSFILE": "/nonexistent", "PGCONNECT_TIMEOUT": "3"}


def exported(
    settings: Settings, url: URL, project: Project, environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """What drivers and the service's env.py are to find in this process's environment, which no other can read.

    Raises ConfigurationError.
    """
    secure = {} if settings.is_local else {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": settings.ca}
    parts = {
        "url": url.render_as_string(hide_password=False),
        "host": settings.host,
        "port": str(settings.port),
        "name": settings.name,
        "user": settings.user,
        "password": settings.password or "",
        "ca": settings.ca,
        **({} if settings.is_local else {"address": settings.host}),
    }
    given = {
        variable: credential(part.removeprefix(CREDENTIAL), environ)
        if part.startswith(CREDENTIAL)
        else parts.get(part)
        for variable, part in project.environment.items()
    }
    if lacking := [name for name, value in given.items() if value is None]:
        raise ConfigurationError(*(_lacking(name, project.environment[name], settings) for name in lacking))
    return {**ALWAYS, **secure, **{name: value for name, value in given.items() if value is not None}}


def stand_ins(project: Project) -> dict[str, str]:
    """What its variables are given where no database is asked, so that an env.py can be imported."""
    name = project.name.replace("-", "_")
    parts = {
        "host": "localhost",
        "address": "localhost",
        "port": "5432",
        "name": name,
        "user": name,
        "ca": "",
    }
    parts["url"] = f"postgresql+{project.driver or installed() or 'psycopg'}://localhost:5432/{name}"
    return {variable: parts.get(part, "not-given") for variable, part in project.environment.items()}


def _lacking(variable: str, part: str, settings: Settings) -> str:
    if part.startswith(CREDENTIAL):
        name = part.removeprefix(CREDENTIAL)
        return f"The credential {name}, which {variable} is to have, is not in the credentials directory."
    return f"{variable} is to have the database's address, and {settings.host} is a socket directory."
