"""The `shop` command.

Results are JSON on stdout, logs and errors go to stderr. Exit status: 0 done, 1 refused or failed and rolled
back, 2 wrong usage, 69 the database cannot be reached, 75 a lock was not obtained (try again),
78 the configuration cannot be used.
"""

import argparse
from collections.abc import Callable, Sequence

from shop.cli import backfill, demo, users
from shop.cli.configuration import check_config, openapi
from shop.cli.output import EX_CONFIG, CommandError, fail
from shop.cli.purge import purge
from shop.cli.schema import migrate, migrate_arguments, schema, schema_arguments, schema_head
from shop.core.configuration import ConfigurationError

Command = Callable[[argparse.Namespace], int]
COMMANDS: dict[str, Command] = {
    "check-config": check_config,
    "migrate": migrate,
    "schema-head": schema_head,
    "schema": schema,
    "openapi": openapi,
    "purge": purge,
    "backfill": backfill.backfill,
    "create-admin": users.create_admin,
    "set-user": users.set_user,
    "seed-demo": demo.seed_demo,
}
ARGUMENTS = {
    "migrate": migrate_arguments,
    "schema": schema_arguments,
    "backfill": backfill.arguments,
    "create-admin": users.arguments,
    "set-user": users.set_user_arguments,
    "seed-demo": demo.arguments,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="shop", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, function in COMMANDS.items():
        summary = (function.__doc__ or "").partition("\n")[0]
        command = commands.add_parser(name, help=summary, description=function.__doc__)
        if name in ARGUMENTS:
            ARGUMENTS[name](command)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        return COMMANDS[chosen.command](chosen)
    except ConfigurationError as error:
        return fail(EX_CONFIG, str(error))
    except CommandError as error:
        return fail(error.status, str(error))
