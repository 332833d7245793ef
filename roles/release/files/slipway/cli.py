"""The command line of slipway: what was typed is performed, said, and ends with an exit code."""

from __future__ import annotations

import argparse
import functools
import re
import sys
from collections.abc import Sequence
from typing import Any

from slipway import services
from slipway.command_line import batch, commands, output
from slipway.command_line.arguments import parser
from slipway.errors import RefusedError, SlipwayError
from slipway.host import Host
from slipway.traffic import before
from slipway.turns.session import check_root
from slipway.upkeep import one_off

NO_VALUE = re.compile(r"--[a-z0-9-]+=--")
# A batch has many commands, and to make the parser takes longer than most of them.
_parser = functools.cache(parser)


def _parse(words: Sequence[str]) -> argparse.Namespace:
    # argparse takes `--` out of what an option is given, too, and leaves it with nothing.
    if any(NO_VALUE.fullmatch(word) for word in words):
        raise RefusedError(
            "usage", "-- is no value of an argument.", "`slipway --help` shows how it is used."
        )
    arguments = _parser().parse_args(words)
    if arguments.app is not None:
        raise RefusedError("usage", "--app stands once, ahead of the command.", "slipway --app=NAME status")
    commands.check(arguments)
    return arguments


def _name(arguments: argparse.Namespace) -> str:
    return " ".join(filter(None, [arguments.command, getattr(arguments, "action", None)]))


def _fault(failure: Exception) -> SlipwayError:
    return SlipwayError(
        "internal",
        f"A fault in slipway itself: {type(failure).__name__}: {failure}. "
        "What was done is in the journal; `slipway status` shows the state.",
    )


def _run(host: Host) -> int:
    """The batch on standard input; every command of it is understood before the first is performed."""
    check_root(host, "slipway run")
    listed = batch.read(sys.stdin.buffer)
    parsed = {tuple(words): _parse(words) for words in listed}

    def one(words: list[str]) -> tuple[int, dict[str, Any]]:
        arguments = parsed[tuple(words)]
        try:
            report = commands.perform(arguments, host, " ".join(["slipway", *words]))
            return 0, output.report_answer(_name(arguments), report)
        except SlipwayError as failure:
            return failure.exit_code, output.error_answer(failure, _name(arguments))
        except Exception as failure:
            fault = _fault(failure)
            return fault.exit_code, output.error_answer(fault, _name(arguments))

    answers = batch.perform(listed, one)
    output.print_json(answers)
    return int(answers[-1]["exit"])


def _here(asked: str | None, words: Sequence[str], command: str) -> Host:
    # Whoever is not root is told that first.
    check_root(Host(""), command)
    here = Host.of_this_machine(services.chosen(asked, words))
    before.take_over(here)
    return here


def main(argv: Sequence[str] | None = None, host: Host | None = None) -> int:
    """Runs one command and returns its exit code. host: another host layout than `/`, for tests."""
    asked, words = services.split(list(sys.argv[1:] if argv is None else argv))
    # Standard output is the command's own there, and so are the words behind --.
    alone = words[:1] == ["exec"]
    as_json = "--json" in words[: words.index("--")] if "--" in words else "--json" in words
    as_json = as_json or not (alone or sys.stdout.isatty())
    command = ""
    try:
        arguments = _parse(words)
        command = _name(arguments)
        here = host or _here(asked, words, " ".join(["slipway", *words]))
        if command == "run":
            return _run(here)
        report = commands.perform(arguments, here, " ".join(["slipway", *words]))
        if alone:
            return int(report.result["exit"])
        output.show_report(command, report, as_json)
        return 0
    except SlipwayError as failure:
        output.show_error(failure, command, as_json)
        return one_off.exit_code(failure) if alone else failure.exit_code
    except BrokenPipeError:
        # Whoever asked is gone; the work is done and journaled.
        return 1
    except Exception as failure:
        fault = _fault(failure)
        output.show_error(fault, command, as_json)
        return one_off.exit_code(fault) if alone else fault.exit_code
