"""`physical-backup backup|list|plan|restore|table|drop|restore-test|…`; --json answers with one object."""

from __future__ import annotations

import argparse
import os
import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from database_backup import files, words
from database_backup.errors import RefusedError
from database_backup.physical import (
    chains,
    in_place,
    looking,
    making,
    proving,
    restoring,
    settings,
    side,
    state,
    tables,
    tool,
)
from database_backup.physical.chains import Target

TIMED = {"look": "continuity", "restore-test": "restore-test"}
XID = re.compile(r"[1-9][0-9]{0,18}")


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="physical-backup", description=__doc__)
    found.add_argument("--json", action="store_true")
    found.add_argument("--app", help="the service whose cluster is meant, where this host has several")
    commands = found.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser("prepare", help="the repository and a first backup, where they are missing")
    prepare.add_argument("--no-new", action="store_true", help="begin no repository where there is none")
    commands.add_parser("adopt", help="take over what lies beside a repository that came from a copy")
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
    table = commands.add_parser("table", help="one table of a restored cluster, into the live database")
    table.add_argument("--into", required=True)
    table.add_argument("--table", required=True, help="schema.table")
    for name, about in (
        ("plan", "say what a restore would take"),
        ("restore", "restore beside the live cluster"),
        ("in-place", "put a moment in the place of the live cluster, which is kept beside"),
    ):
        to = commands.add_parser(name, help=about)
        which = to.add_mutually_exclusive_group(required=True)
        which.add_argument("--time")
        which.add_argument("--xid")
        which.add_argument("--name")
        which.add_argument("--latest", action="store_true")
        if name == "restore":
            to.add_argument("--into", default="side")
        if name == "in-place":
            to.add_argument("--database", required=True, help="the database's name, typed once more")
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
            found = making.prepare(own, begin=not options.no_new)
            return "; ".join(filter(None, (*found["done"], found["waits"]))) or "Everything is there.", found
        case "backup":
            record = making.backup(own, options.type)
            return f"{record['detail'][0].upper()}{record['detail'][1:]}.", record
        case "list":
            return _listed(own)
        case "adopt":
            return _adopted(own)
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
        case "table":
            found = tables.bring(own, options.into, options.table)
        case "in-place":
            found = in_place.restore(own, target(options), options.database)
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


def _adopted(own: settings.Settings) -> tuple[str, Any]:
    """What came back is this host's from now on. Raises RefusedError when the key does not open it."""
    newest = chains.of(tool.kept(own))[-1]
    made_by = str(
        files.read(own.repository / state.BESIDE / own.stanza / state.IDENTITY).get("version", "0.0")
    )
    mine = tool.version(own)
    if tuple(map(int, made_by.split("."))) > mine:
        raise RefusedError(
            f"The repository was written by pgBackRest {made_by}, and this host has {mine[0]}.{mine[1]}, which may "
            "not read it. "
            "Nothing was changed. Bring it back to a host of the same system."
        )
    taken = state.adopt(own)
    mark = {
        "at": newest.record["at"],
        "file": newest.label,
        "bytes": newest.kept,
        "sha256": "",
        "detail": "came back",
    }
    files.mark(own.folder, files.LATEST, mark)
    return (
        f"The repository is here again; its newest backup {newest.label} ended {newest.record['at']}. Bring the "
        "cluster back "
        "with: fab db-restore --latest --in-place"
    ), {"backup": newest.record, "taken": taken}


def _listed(own: settings.Settings) -> tuple[str, Any]:
    found = looking.look(own)
    sides = [{"name": each.name, "running": each.alive(), **each.about} for each in side.all_of(own)]
    tested = state.remembered(own, "restore-test.json")
    found |= {"sides": sides, "restore_test": tested, "latest": state.remembered(own, "latest.json")}
    lines = [
        f"{each['label']}  {each['kind']:<4}  {each['at']}  {words.size(each['size']):>9} of data  "
        f"{words.size(each['kept']):>9} kept{'  DAMAGED PAGES' if each['damaged'] else ''}"
        for each in reversed(found["backups"])
    ]
    lines += [f"GAP: {each['said']}" for each in found["gaps"]]
    lines += [f"restored beside: {each['name']}, {each.get('target', 'unfinished')}" for each in sides]
    lines.append(f"Last restore test: {tested.get('detail') or 'none yet'}")
    if own.copied_by:
        lines += ["", _copied(own.copied_by, found["copy"])]
    return "\n".join(lines), found


def _copied(host: str, receipt: dict[str, Any]) -> str:
    """The second repository, by what the host that has it last said."""
    if not receipt.get("at"):
        return f"On {host}: no copy yet{': ' + str(receipt['problem']) if receipt.get('problem') else ''}"
    labels = [str(each) for each in receipt.get("labels", [])]
    failed = "" if receipt.get("ok") else f"; the last try failed: {receipt.get('problem')}"
    return (
        f"On {host}, as of {receipt['at']}: {len(labels)} backups ({', '.join(labels[-3:])}), WAL up to "
        f"{receipt.get('newest_segment')}, {words.size(float(receipt.get('bytes', 0)))}{failed}"
    )
