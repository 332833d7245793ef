"""The `shop` command.

Results are JSON on stdout, logs and errors go to stderr. Exit status: 0 done, 1 refused or failed and rolled
back, 2 wrong usage, 69 the database cannot be reached, 75 a lock was not obtained (try again),
78 the configuration cannot be used.
"""

import argparse
import sys
from collections.abc import Callable, Sequence

import slipway_migrator.cli as migrator

from shop.cli import demo, users
from shop.cli.configuration import check_config, openapi
from shop.cli.output import EX_CONFIG, CommandError, fail
from shop.cli.purge import purge
from shop.core.configuration import ConfigurationError

Command = Callable[[argparse.Namespace], int]
COMMANDS: dict[str, Command] = {
    "check-config": check_config,
    "openapi": openapi,
    "purge": purge,
    "create-admin": users.create_admin,
    "set-user": users.set_user,
    "seed-demo": demo.seed_demo,
}
ARGUMENTS = {
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
    for name in migrator.COMMANDS:
        commands.add_parser(name, help=f"slipway-migrator {name}: its own --help says more", add_help=False)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    # What units of hosts call by the service's name.
    if words and words[0] in migrator.COMMANDS:
        return migrator.main(words)
    chosen = _parser().parse_args(words)
    try:
        return COMMANDS[chosen.command](chosen)
    except ConfigurationError as error:
        return fail(EX_CONFIG, str(error))
    except CommandError as error:
        return fail(error.status, str(error))
