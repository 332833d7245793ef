"""The words of `slipway exec`: how long, for whom, and behind -- the command's own."""

from __future__ import annotations

import argparse

from slipway.command_line import values


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="+", type=values.word, metavar="WORD", help="behind --: the command's")
    parser.add_argument(
        "--seconds", type=values.some_seconds, default=600.0, metavar="SECONDS", help="how long (default 600)"
    )
    parser.add_argument("--attached", action="store_true", help="end it when standard input ends")
    parser.add_argument("--input", action="store_true", help="give it what stands on standard input")
    parser.add_argument("--holder", type=values.line, metavar="TEXT", help="who asked for it")
