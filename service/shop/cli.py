"""The `shop` command: check the configuration, migrate the database, name the schema's head.

Results are JSON on stdout, logs and errors go to stderr. Exit status: 0 done, 1 the migration failed and was
rolled back, 2 wrong usage, 69 the database cannot be reached, 75 a lock was not obtained (try again),
78 the configuration cannot be used.
"""

import argparse
import json
import sys
from collections.abc import Sequence

from shop.core.configuration import ConfigurationError, load_settings
from shop.core.database import DATABASE_ERRORS, is_unreachable, sqlstate
from shop.core.logging import configure_logging
from shop.core.schema import LOCK_NOT_AVAILABLE, MigrationError, Revisions, upgrade
from shop.settings import SECRETS, MigrationSettings, Settings

EX_FAILED = 1
EX_UNAVAILABLE = 69
EX_TEMPFAIL = 75
EX_CONFIG = 78


def _print(result: object) -> None:
    print(json.dumps(result, default=str))


def _fail(status: int, sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return status


def check_config() -> int:
    """Read all settings as the service would and print them, secrets only as set or not set."""
    settings = load_settings(Settings)
    shown = settings.model_dump(exclude=set(SECRETS))
    secrets = {name: "set" if getattr(settings, name) else "not set" for name in SECRETS}
    _print({**shown, **secrets, "connections": settings.connections})
    return 0


def schema_head() -> int:
    """Print the revision this release needs; no database and no settings are asked."""
    print(Revisions().head)
    return 0


def migrate() -> int:
    """Bring the database to this release's schema and print the revisions before and after."""
    settings = load_settings(MigrationSettings)
    configure_logging(settings.log_level, settings.release, stream="stderr")
    where = f"database {settings.database_name} at {settings.database_host}, port {settings.database_port}"
    try:
        migrated = upgrade(settings)
    except MigrationError as error:
        return _fail(EX_FAILED, f"The migration of {where} did not start, nothing is changed: {error}")
    except DATABASE_ERRORS as error:
        return _migration_failed(where, error)
    _print({"from": migrated.origin, "to": migrated.target})
    return 0


def _migration_failed(where: str, error: Exception) -> int:
    reason = getattr(error, "orig", error)
    if sqlstate(error) == LOCK_NOT_AVAILABLE:
        return _fail(
            EX_TEMPFAIL,
            f"The migration of {where} could not lock what it changes: another migration or a long "
            "transaction holds it. The revision is rolled back and the running release is not affected. "
            "Try again; pg_stat_activity shows who holds the lock.",
        )
    if is_unreachable(error):
        return _fail(EX_UNAVAILABLE, f"The {where} cannot be reached or refuses the role: {reason}")
    return _fail(
        EX_FAILED,
        f"The migration of {where} failed and its revision is rolled back; earlier revisions stay applied "
        f"and the running release is not affected. SQLSTATE {sqlstate(error)}: {reason}",
    )


COMMANDS = {"check-config": check_config, "migrate": migrate, "schema-head": schema_head}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="shop", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, function in COMMANDS.items():
        commands.add_parser(name, help=function.__doc__, description=function.__doc__)
    command = COMMANDS[parser.parse_args(arguments).command]
    try:
        return command()
    except ConfigurationError as error:
        return _fail(EX_CONFIG, str(error))


if __name__ == "__main__":
    sys.exit(main())
