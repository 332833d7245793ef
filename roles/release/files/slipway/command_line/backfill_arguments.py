"""The words of `slipway backfill`: what to do, and with which backfill."""

from __future__ import annotations

import argparse
import re

from slipway.errors import RefusedError

# Named in code, so in the form of a name in code; it becomes a word of a unit's command.
NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
NAMED = ("run", "resume", "pause")
ACTIONS = (*NAMED, "status", "progress")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=ACTIONS, metavar="|".join(ACTIONS))
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="a backfill of the live release")


def check(action: str, name: str) -> None:
    """Raises RefusedError when the words do not go together, or the name is none."""
    if action not in NAMED and name:
        raise RefusedError("usage", f"`slipway backfill {action}` takes no name.", "Leave it out.")
    if action in NAMED and not NAME.fullmatch(name):
        raise RefusedError(
            "backfill-name",
            f"{name!r} is not the name of a backfill; one looks like fill_order_totals.",
            "`slipway backfill status` shows those there are.",
        )
