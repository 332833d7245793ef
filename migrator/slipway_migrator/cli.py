"""Brings a service's database to the schema of its release, and changes rows in batches, beside the service.

Results are JSON on stdout; what goes on, and why something failed, is on stderr. Exit status: 0 done, 1 refused or
failed and rolled back, 2 wrong usage, 69 the database cannot be reached, 75 a lock was not obtained (try again), 78 the
configuration cannot be used.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from slipway_migrator import backfill_commands, commands, project
from slipway_migrator.errors import CommandError, ConfigurationError, MigrationError

EX_CONFIG = 78


def migrate_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of migrate."""
    parser.add_argument(
        "--contract",
        action="store_true",
        help="apply revisions, too, that take away what earlier releases need",
    )


def schema_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of schema."""
    parser.add_argument("--sql", action="store_true", help="with what each revision would send to the server")


def backfill_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of backfill."""
    parser.add_argument("do", choices=["run", "status", "pause", "resume"])
    parser.add_argument(
        "name", nargs="?", help="a backfill that this release declares; status of all of them without it"
    )


COMMANDS: dict[
    str, tuple[Callable[[argparse.Namespace], int], Callable[[argparse.ArgumentParser], None] | None]
] = {
    "migrate": (commands.migrate, migrate_arguments),
    "schema": (commands.schema, schema_arguments),
    "schema-head": (commands.schema_head, None),
    "backfill": (backfill_commands.run, backfill_arguments),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slipway-migrator", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--project",
        type=Path,
        default=project.here(),
        help="the folder of a checkout or a release; by default the release that this is a part of, or the present one",
    )
    kinds = parser.add_subparsers(dest="command", required=True)
    for name, (function, arguments) in COMMANDS.items():
        command = kinds.add_parser(
            name, help=(function.__doc__ or "").partition("\n")[0], description=function.__doc__
        )
        if arguments is not None:
            arguments(command)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    chosen = _parser().parse_args(arguments)
    chosen.project = chosen.project.resolve()
    try:
        return COMMANDS[chosen.command][0](chosen)
    except CommandError as error:
        print(error, file=sys.stderr)
        return error.status
    except MigrationError as error:
        print(error, file=sys.stderr)
        return 1
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return EX_CONFIG
