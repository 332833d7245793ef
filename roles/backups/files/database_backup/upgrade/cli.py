"""`database-upgrade plan|rehearse|prepare|switch|back|finish|cancel`; --json answers with one object."""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path
from typing import Any

from database_backup import lock
from database_backup.errors import RefusedError
from database_backup.upgrade import finishing, moving, planning, preparing, rehearsing, settings

COMMANDS = {
    "plan": "what is in the way, and what it takes; changes nothing",
    "rehearse": "upgrade a copy there and back, say how long that took, and remove it",
    "prepare": "make the new cluster beside the old, and have it follow",
    "switch": "the new cluster serves; writers wait for about a second",
    "back": "the old cluster serves again, with all rows",
    "finish": "remove the old cluster: the way back ends",
    "cancel": "give up before the switch, or after the way back: remove the new cluster",
}


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="database-upgrade", description=__doc__)
    found.add_argument("--json", action="store_true")
    found.add_argument("--app", help="the service whose cluster is meant, where this host has several")
    commands = found.add_subparsers(dest="command", required=True)
    for name, about in COMMANDS.items():
        commands.add_parser(name, help=about).add_argument(
            "--to", required=True, help="the new major version"
        )
    return found


def perform(options: argparse.Namespace) -> tuple[str, Any]:
    """(sentences, result) of a command."""
    # By the environment, which sudo empties: whoever may run this must not say which programs it starts.
    said = os.environ.get("SLIPWAY_UPGRADE_CONFIG")
    own = settings.read(Path(said) if said else settings.path_of(options.app))
    if options.to != own.new.version:
        raise RefusedError(
            f"The inventory plans an upgrade from {own.old.version} to {own.new.version} "
            "(postgresql_upgrade_to), not to "
            f"{options.to}. Nothing was changed."
        )
    if options.command == "plan":
        found = planning.plan(own)
        return found["said"], found
    # A connection that is cut must not leave writers waiting.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with lock.held(own.folder / ".upgrade.lock", "an upgrade"):
        match options.command:
            case "rehearse":
                found = rehearsing.rehearse(own)
            case "prepare":
                found = preparing.prepare(own)
            case "switch":
                found = moving.move(own, own.new.version)
            case "back":
                found = moving.move(own, own.old.version)
            case "finish":
                found = finishing.finish(own)
            case _:
                found = finishing.cancel(own)
    return found["detail"], found
