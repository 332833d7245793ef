"""The `shop` command.

Results are JSON on stdout, logs and errors go to stderr. Exit status: 0 done, 1 refused or failed and rolled
back, 2 wrong usage, 69 the database cannot be reached, 75 a lock was not obtained (try again),
78 the configuration cannot be used.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module

from shop.cli.output import EX_CONFIG, CommandError, fail
from shop.core.configuration import ConfigurationError

Command = Callable[[argparse.Namespace], int]
# Where each command and its arguments are. Only the chosen one is imported: each start runs check-config.
COMMANDS = {
    "check-config": ("configuration", "check_config", ""),
    "openapi": ("configuration", "openapi", ""),
    "purge": ("purge", "purge", ""),
    "create-admin": ("users", "create_admin", "arguments"),
    "set-user": ("users", "set_user", "set_user_arguments"),
    "seed-demo": ("demo", "seed_demo", "arguments"),
}


def _parser(names: Iterable[str], migrators: Iterable[str] = ()) -> argparse.ArgumentParser:
    """Of these commands. migrators: those of the migrator, named beside them."""
    parser = argparse.ArgumentParser(
        prog="shop", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in names:
        module, function, arguments = COMMANDS[name]
        found = import_module(f"shop.cli.{module}")
        run: Command = getattr(found, function)
        summary = (run.__doc__ or "").partition("\n")[0]
        command = commands.add_parser(name, help=summary, description=run.__doc__)
        command.set_defaults(run=run)
        if arguments:
            getattr(found, arguments)(command)
    for name in migrators:
        commands.add_parser(name, help=f"slipway-migrator {name}: its own --help says more", add_help=False)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in COMMANDS:
        parser = _parser(given[:1])
    else:
        import slipway_migrator.cli as migrator

        # What units of hosts call by the service's name.
        if given and given[0] in migrator.COMMANDS:
            return migrator.main(given)
        parser = _parser(COMMANDS, migrator.COMMANDS)
    chosen = parser.parse_args(given)
    run: Command = chosen.run
    try:
        return run(chosen)
    except ConfigurationError as error:
        return fail(EX_CONFIG, str(error))
    except CommandError as error:
        return fail(error.status, str(error))
