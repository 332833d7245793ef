"""The words slipway understands, and the values it takes for them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from slipway import __version__
from slipway.command_line import backfill_arguments, exec_arguments, lease_arguments, values
from slipway.errors import RefusedError

DESCRIPTION = "Owns the releases of this host: stages, starts, switches to and removes them. Run it as root."
EPILOG = """exit codes:
  0  done, or nothing to do ("changed" says which)
  1  a fault in slipway itself; `slipway status` shows the state
  2  refused: wrong input, wrong bundle, no space; nothing was changed
  3  a step failed and was undone; traffic goes where it went before
  4  another change holds this host's lock, or another deploy the lease; nothing was changed
  5  not root; nothing was changed
  6  the release is live, tidying up failed; the same command again finishes it
  7  a newer deploy has taken over (--fence is too low); nothing was changed

Output is one JSON object when it is not read by a terminal, or with --json:
  {"schema": 1, "command": ..., "changed": ..., "result": {...}}
  {"schema": 1, "command": ..., "error": {"code": ..., "message": ..., "details": {...}}}
`slipway run` prints a list of these, each with its "exit".
`slipway exec` ends with its command's exit code; 124: it was ended before its end, 125: it was not run.
"""


class Parser(argparse.ArgumentParser):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        # What is shortened today means another option tomorrow.
        super().__init__(*arguments, **{**options, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        raise RefusedError("usage", f"{message}.", f"`{self.prog} --help` shows how it is used.")


def parser() -> Parser:
    common = Parser(add_help=False)
    common.add_argument("--json", action="store_true", help="JSON also on a terminal")
    fenced = Parser(add_help=False, parents=[common])
    fenced.add_argument(
        "--fence", type=values.FENCE, metavar="N", help="the fence of the lease this is done under"
    )
    fenced.add_argument(
        "--wait", type=values.seconds, default=0.0, metavar="SECONDS", help="for the lock (default 0)"
    )
    top = Parser(
        "slipway",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"slipway {__version__}")
    top.add_argument("--app", metavar="NAME", help="the service that is meant, where this host has several")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    _release_commands(commands, fenced)
    _host_commands(commands, fenced)
    leasing = commands.add_parser("lease", help="one deploy at a time in an environment")
    lease_arguments.arguments(leasing, common)
    _reading_commands(commands, common)
    return top


Commands = argparse._SubParsersAction  # the type argparse gives what add_subparsers returns


def _release_commands(commands: Commands[Parser], fenced: Parser) -> None:
    def command(name: str, summary: str) -> Parser:
        added = commands.add_parser(name, parents=[fenced], help=summary)
        added.add_argument("release", metavar="ID")
        return added

    staging = commands.add_parser("stage", parents=[fenced], help="make a complete release of a bundle")
    staging.add_argument(
        "--bundle",
        required=True,
        metavar="PATH",
        help="- for standard input, or a file in slipway's own folder",
    )
    staging.add_argument(
        "--parts",
        action="store_true",
        help="standard input has the bundle in parts: wheels that are here already are only named",
    )
    staging.add_argument("--sha256", required=True, metavar="HEX", help="the sha256 of the whole bundle")
    staging.add_argument("--release", metavar="ID", help="refuse the bundle when it is another release")
    staging.add_argument(
        "--signature",
        type=values.SIGNATURE,
        metavar="BASE64",
        help="who vouches for it: the sha256 as ssh-keygen -Y sign signs it, without the lines around",
    )
    migrating = command("migrate", "run a staged release's migrations")
    migrating.add_argument(
        "--timeout", type=values.seconds, default=900.0, metavar="SECONDS", help="default 900"
    )
    migrating.add_argument("--contract", action="store_true", help="also what takes away from earlier ones")
    migrating.add_argument("--watch", action="store_true", help="only wait for one whose end nobody saw")
    _traffic_commands(command)
    marking = command("mark-bad", "never a rollback's target again")
    marking.add_argument("--reason", type=values.line, metavar="TEXT")
    marking.add_argument("--clear", action="store_true", help="take the mark away")


def _traffic_commands(command: Callable[[str, str], Parser]) -> None:
    activating = command("activate", "start a staged release and move traffic to it")
    _in_time(activating)
    warmth = "see settle; default 0"
    activating.add_argument("--warm", type=values.seconds, default=0.0, metavar="SECONDS", help=warmth)
    command("start", "start its unit beside the live one")
    gating = command(
        "gate", "wait until it is ready on its own socket; stop it and mark it bad when it is not"
    )
    _in_time(gating)
    _as_customers_ask(gating)
    switching = command("switch", "move the traffic to it")
    switching.add_argument(
        "--expect", type=values.expected, metavar="LIVE", help="refuse when another is live; or `none`"
    )
    verifying = command("verify", "ask it where the traffic goes")
    counting = values.number(1, 1000, "number of answers")
    verifying.add_argument("--count", type=counting, default=5, metavar="N", help="default 5")
    _as_customers_ask(verifying)
    restarting = command("restart", "start the live one anew, drained meanwhile, where other hosts answer")
    _in_time(restarting)
    _as_customers_ask(restarting)
    baking = command("bake", "watch the release that got the traffic")
    baking.add_argument(
        "--seconds", type=values.some_seconds, required=True, metavar="SECONDS", help="how long"
    )
    baking.add_argument(
        "--max-errors",
        type=values.percent,
        default=1.0,
        metavar="PERCENT",
        help="of answers with a 5xx; default 1",
    )
    _as_customers_come(baking, "what they are refused who come by this name counts, too")
    settling = command("settle", "it has proved itself: keep the one before warm, put all others away")
    settling.add_argument("--warm", type=values.seconds, default=600.0, metavar="SECONDS", help="default 600")
    stopping = command("stop", "stop it and take it out of the boot")
    stopping.add_argument(
        "--unless-live", action="store_true", help="leave the live one alone without complaint"
    )
    whose = "only when its warm time ends then (since 1970)"
    stopping.add_argument("--warm-until", type=values.moment, metavar="SECONDS", help=whose)


def _in_time(ready: Parser) -> None:
    ready.add_argument("--timeout", type=values.seconds, default=30.0, metavar="SECONDS", help="default 30")


def _as_customers_come(asking: Parser, summary: str) -> None:
    asking.add_argument("--public", type=values.HOST, metavar="NAME", help=summary)


def _as_customers_ask(asking: Parser) -> None:
    _as_customers_come(asking, "ask by this name, too, as customers do")
    asking.add_argument(
        "--path",
        type=values.ASKED,
        default="/",
        metavar="PATH",
        help="what they ask for; default /",
    )


def _host_commands(commands: Commands[Parser], fenced: Parser) -> None:
    pruning = commands.add_parser("prune", parents=[fenced], help="remove the oldest releases")
    keeping = values.number(1, 1000, "number of releases")
    pruning.add_argument("--keep", type=keeping, default=5, metavar="N", help="default 5")
    maintaining = commands.add_parser("maintenance", parents=[fenced], help="nginx answers for the service")
    maintaining.add_argument("state", choices=("on", "off"))
    maintaining.add_argument(
        "--message", type=values.line, metavar="TEXT", help="what the service's users are told"
    )
    draining = commands.add_parser("drain", parents=[fenced], help="take no new connections from the edge")
    port = values.number(1, 65535, "port")
    draining.add_argument("--port", type=port, metavar="N", help="the private port; nginx's own by default")
    draining.add_argument("--why", type=values.line, metavar="WORD", help="what drains it, such as patch")
    draining.add_argument("--quiet", action="store_true", help="wait until its connections have ended")
    commands.add_parser("undrain", parents=[fenced], help="take them again")
    backfilling = commands.add_parser("backfill", parents=[fenced], help="change many rows, in batches")
    backfill_arguments.arguments(backfilling)
    executing = commands.add_parser("exec", parents=[fenced], help="one command of the service's own program")
    exec_arguments.arguments(executing)
    refitting = commands.add_parser(
        "refit", parents=[fenced], help="give releases of another slipway what this one starts them by"
    )
    refitting.add_argument("--dry-run", action="store_true", help="only say which")
    recovering = commands.add_parser("recover", parents=[fenced], help="bring this host to one live release")
    _in_time(recovering)
    recording = commands.add_parser(
        "record", parents=[fenced], help="put a controller's record in the journal"
    )
    recording.add_argument("kind", metavar="KIND", help="words with dots between, such as deploy.begin")
    recording.add_argument("--release", metavar="ID")
    recording.add_argument("--details", default="{}", metavar="JSON", help="a JSON object")


def _reading_commands(commands: Commands[Parser], common: Parser) -> None:
    commands.add_parser("status", parents=[common], help="what is live and what is wrong")
    awaiting = commands.add_parser("await", parents=[common], help="wait until what is live answers")
    _in_time(awaiting)
    commands.add_parser("updates", parents=[common], help="what waits for a patch")
    listing = commands.add_parser("list", parents=[common], help="the releases on this host")
    listing.add_argument("--brief", action="store_true", help="without what each takes on the disk")
    showing = commands.add_parser("journal", parents=[common], help="what was done on this host")
    showing.add_argument(
        "--lines", type=values.number(1, 10000, "number of lines"), default=50, metavar="N", help="default 50"
    )
    showing.add_argument(
        "--step", type=values.line, metavar="NAME", help="one step's alone, as far back as they go"
    )
    showing.add_argument("--verify", action="store_true", help="check that no line was altered")
    telling = commands.add_parser("metrics", parents=[common], help="the same as metrics, for Prometheus")
    telling.add_argument("--write", action="store_true", help="into node-exporter's textfile folder")
    commands.add_parser("run", parents=[common], help="several commands, as a JSON list on standard input")
