"""The command line of slipway: what can be typed, what comes back, and with which exit code."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from slipway import __version__, output
from slipway.activate import activate
from slipway.errors import RefusedError, SlipwayError
from slipway.host import Host, check_release_id
from slipway.migrate import migrate
from slipway.session import Report, Session, changing, reading
from slipway.stage import stage
from slipway.status import list_releases, status

DESCRIPTION = "Owns the releases of this host: stages, migrates and activates them. Run it as root."
EXIT_CODES = """exit codes:
  0  done, or nothing to do ("changed" says which)
  1  a fault in slipway itself; `slipway status` shows the state
  2  refused: wrong input, wrong bundle, no space; nothing was changed
  3  a step failed and was undone; traffic goes where it went before
  4  another change holds this host's lock; nothing was changed
  5  not root; nothing was changed
  6  the new release is live, tidying up failed; the same command again finishes it

Output is one JSON object when it is not read by a terminal, or with --json:
  {"schema": 1, "command": ..., "changed": ..., "result": {...}}
  {"schema": 1, "error": {"code": ..., "message": ..., "details": {...}}}
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise RefusedError("usage", f"{message}.", f"`{self.prog} --help` shows how it is used.")


def _seconds(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or not 0 <= value <= 86400:
        raise ValueError(text)
    return value


def parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False)
    common.add_argument("--json", action="store_true", help="JSON also on a terminal")
    change = _Parser(add_help=False, parents=[common])
    change.add_argument(
        "--wait", type=_seconds, default=0.0, metavar="SECONDS", help="wait for the lock (default 0)"
    )
    top = _Parser(
        "slipway",
        description=DESCRIPTION,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"slipway {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    staging = commands.add_parser("stage", parents=[change], help="make a complete release of a bundle")
    staging.add_argument(
        "--bundle", required=True, metavar="PATH", help="the bundle, or - for standard input"
    )
    staging.add_argument("--sha256", required=True, metavar="HEX", help="the sha256 of the whole bundle")
    staging.add_argument("--release", metavar="ID", help="refuse the bundle when it is another release")
    migrating = commands.add_parser("migrate", parents=[change], help="run a staged release's migrations")
    migrating.add_argument("release", metavar="ID")
    migrating.add_argument("--timeout", type=_seconds, default=900.0, metavar="SECONDS", help="default 900")
    activating = commands.add_parser(
        "activate", parents=[change], help="start a staged release and move traffic to it"
    )
    activating.add_argument("release", metavar="ID")
    activating.add_argument("--timeout", type=_seconds, default=30.0, metavar="SECONDS", help="default 30")
    activating.add_argument(
        "--keep-previous", action="store_true", help="leave the release before it running"
    )
    commands.add_parser("status", parents=[common], help="what is live and what is wrong")
    commands.add_parser("list", parents=[common], help="the releases on this host")
    return top


def _perform(arguments: argparse.Namespace, host: Host, typed: str) -> Report:
    if getattr(arguments, "release", None):
        check_release_id(arguments.release)
    changes: dict[str, Callable[[Session], Report]] = {
        "stage": lambda session: stage(session, arguments.bundle, arguments.sha256, arguments.release),
        "migrate": lambda session: migrate(session, arguments.release, arguments.timeout),
        "activate": lambda session: activate(
            session, arguments.release, arguments.timeout, arguments.keep_previous
        ),
    }
    if arguments.command in changes:
        with changing(host, typed, arguments.wait) as session:
            return changes[arguments.command](session)
    show = {"status": status, "list": list_releases}[arguments.command]
    return show(reading(host, typed))


def main(argv: Sequence[str] | None = None, host: Host | None = None) -> int:
    """Runs one command and returns its exit code. host: another host layout than `/`, for tests."""
    words = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in words or not sys.stdout.isatty()
    try:
        arguments = parser().parse_args(words)
        report = _perform(arguments, host or Host(), " ".join(["slipway", *words]))
        output.show_report(arguments.command, report, as_json)
        return 0
    except SlipwayError as failure:
        output.show_error(failure, as_json)
        return failure.exit_code
    except BrokenPipeError:
        # Whoever asked is gone; the work is done and journaled.
        return 1
    except Exception as failure:
        fault = SlipwayError(
            "internal",
            f"A fault in slipway itself: {type(failure).__name__}: {failure}. "
            "What was done is in the journal; `slipway status` shows the state.",
        )
        output.show_error(fault, as_json)
        return fault.exit_code
