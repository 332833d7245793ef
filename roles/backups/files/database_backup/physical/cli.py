"""`physical-backup backup|list|plan|restore|drop|restore-test|…`; --json answers with one object."""

from __future__ import annotations

import argparse
import os
import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from database_backup.errors import RefusedError
from database_backup.physical import looking, making, proving, restoring, settings, side, state
from database_backup.physical.chains import Target

TIMED = {"look": "continuity", "restore-test": "restore-test"}
XID = re.compile(r"[1-9][0-9]{0,18}")


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="physical-backup", description=__doc__)
    found.add_argument("--json", action="store_true")
    found.add_argument("--app", help="the service whose cluster is meant, where this host has several")
    commands = found.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare", help="the repository and a first backup, where they are missing")
    commands.add_parser("list", help="backups, gaps, restore points and restored clusters")
    commands.add_parser("continuity", help="whether the WAL in the repository has every segment")
    commands.add_parser(
        "restore-test", help="restore the newest backup to a marked moment, check it, remove it"
    )
    backup = commands.add_parser("backup", help="make a backup")
    backup.add_argument("--type", choices=making.KINDS, default="diff")
    run = commands.add_parser("run", help="what a timer starts")
    run.add_argument("what", choices=(*making.KINDS, "look", "restore-test"))
    point = commands.add_parser("point", help="set a named restore point")
    point.add_argument("--name", required=True)
    point.add_argument("--reason", default="")
    commands.add_parser("drop", help="stop and remove a restored cluster").add_argument(
        "--into", required=True
    )
    for name, about in (
        ("plan", "say what a restore would take"),
        ("restore", "restore beside the live cluster"),
    ):
        to = commands.add_parser(name, help=about)
        which = to.add_mutually_exclusive_group(required=True)
        which.add_argument("--time")
        which.add_argument("--xid")
        which.add_argument("--name")
        which.add_argument("--latest", action="store_true")
        if name == "restore":
            to.add_argument("--into", default="side")
    return found


def perform(options: argparse.Namespace) -> tuple[str, Any]:
    """(sentences, result) of a command."""
    # By the environment, which sudo empties: whoever may run this as its user must not say which programs it starts.
    said = os.environ.get("SLIPWAY_BACKUP_CONFIG")
    own = settings.read(Path(said) if said else settings.path_of(options.app))
    if options.command == "run":
        options.command, options.type = TIMED.get(options.what, "backup"), options.what
    match options.command:
        case "prepare":
            found = making.prepare(own)
            return "; ".join(filter(None, (*found["done"], found["waits"]))) or "Everything is there.", found
        case "backup":
            record = making.backup(own, options.type)
            return f"{record['detail'][0].upper()}{record['detail'][1:]}.", record
        case "list":
            return _listed(own)
        case "continuity":
            found = looking.look(own)
            wrong = [each["said"] for each in found["gaps"]]
            return " ".join(
                wrong
            ) or f"{found['segments']} segments of WAL are kept, and none is missing.", found
        case "point":
            found = state.point(own, options.name, options.reason)
            return f"The restore point {found['name']} is set: fab db-restore --name={found['name']}", found
        case "plan":
            found = restoring.plan(own, target(options), time.time())
            return found["said"], found
        case "restore":
            found = restoring.restore(own, target(options), options.into)
        case "restore-test":
            found = proving.restore_test(own)
        case _:
            return restoring.drop(own, options.into), {}
    return found["detail"], found


def target(options: argparse.Namespace) -> Target:
    """The moment that was said. Raises RefusedError."""
    if options.time is not None:
        try:
            at = datetime.fromisoformat(options.time.replace("Z", "+00:00"))
        except ValueError:
            at = None
        if at is None or at.tzinfo is None:
            raise RefusedError(
                f"{options.time!r} is no moment with its zone, such as 2026-11-26T21:00:00Z or "
                "2026-11-26T22:00:00+01:00. Nothing was changed."
            )
        return Target("time", options.time, at.timestamp())
    if options.xid is not None:
        if not XID.fullmatch(options.xid):
            raise RefusedError(f"{options.xid!r} is no transaction's number. Nothing was changed.")
        return Target("xid", options.xid)
    if options.name is not None:
        if not state.POINT.fullmatch(options.name):
            raise RefusedError(f"{options.name!r} is no restore point's name. Nothing was changed.")
        return Target("name", options.name)
    return Target("latest")


def _listed(own: settings.Settings) -> tuple[str, Any]:
    found = looking.look(own)
    sides = [{"name": each.name, "running": each.alive(), **each.about} for each in side.all_of(own)]
    tested = state.remembered(own, "restore-test.json")
    found |= {"sides": sides, "restore_test": tested, "latest": state.remembered(own, "latest.json")}
    from database_backup import words

    lines = [
        f"{each['label']}  {each['kind']:<4}  {each['at']}  {words.size(each['size']):>9} of data  "
        f"{words.size(each['kept']):>9} kept{'  DAMAGED PAGES' if each['damaged'] else ''}"
        for each in reversed(found["backups"])
    ]
    lines += [f"GAP: {each['said']}" for each in found["gaps"]]
    lines += [f"restored beside: {each['name']}, {each.get('target', 'unfinished')}" for each in sides]
    lines.append(f"Last restore test: {tested.get('detail') or 'none yet'}")
    return "\n".join(lines), found
