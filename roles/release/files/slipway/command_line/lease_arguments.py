"""The words of `slipway lease`: take it, renew it, give it back, break it."""

from __future__ import annotations

import argparse

from slipway.command_line import values


def arguments(lease: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    """common: the options of every command."""
    actions = lease.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=type(lease))
    acquiring = actions.add_parser(
        "acquire", parents=[common], help="take it when it is free, expired or broken"
    )
    acquiring.add_argument("--holder", type=values.line, required=True, metavar="TEXT", help="who deploys")
    acquiring.add_argument(
        "--process", type=values.process, required=True, metavar="PID@HOST", help="of the controller"
    )
    acquiring.add_argument(
        "--command", dest="typed", type=values.line, required=True, metavar="TEXT", help="what was typed"
    )
    acquiring.add_argument("--ticket", type=values.line, metavar="TEXT")
    acquiring.add_argument("--nonce", type=values.HEX, metavar="HEX", help="of this process alone")
    acquiring.add_argument(
        "--machine", type=values.HEX, metavar="HEX", help="of the controller, as it names itself"
    )
    acquiring.add_argument("--reason", type=values.line, metavar="TEXT", help="why nobody is to deploy")
    acquiring.add_argument(
        "--ttl", type=values.some_seconds, default=60.0, metavar="SECONDS", help="default 60"
    )
    acquiring.add_argument(
        "--above",
        type=values.number(0, values.FENCES, "fence"),
        default=0,
        metavar="N",
        help="a fence other hosts have seen",
    )
    for name, summary in (
        ("renew", "the holder's heartbeat"),
        ("release", "give it back"),
        ("break", "take it from whoever holds the one with this fence"),
    ):
        action = actions.add_parser(name, parents=[common], help=summary)
        action.add_argument("--fence", type=values.FENCE, required=True, metavar="N")
