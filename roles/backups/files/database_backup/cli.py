"""`database-backup backup|list|restore|restore-test`; --json answers with one object, for `fab`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from database_backup import dump, files, restore, settings, words
from database_backup.errors import BackupError, FailedError, RefusedError
from database_backup.server import shown

KEPT = range(1, 1001)
PHYSICAL = "physical-backup"
UPGRADE = "database-upgrade"
COPY = "repository-copy"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="database-backup", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--app", help="the service whose database is meant, where this host has several")
    commands = parser.add_subparsers(dest="command", required=True)
    backup = commands.add_parser("backup", help="dump the database")
    backup.add_argument("--kind", choices=["routine", "hand", "point"], default="routine")
    backup.add_argument("--reason", default="")
    backup.add_argument("--release", default="")
    backup.add_argument("--keep", type=int)
    commands.add_parser("list", help="the backups that are there")
    into = commands.add_parser("restore", help="restore into a database beside the live one, and check it")
    into.add_argument("--into", required=True)
    into.add_argument("--from", dest="source", default="latest")
    into.add_argument("--replace", action="store_true")
    into.add_argument("--drop", action="store_true")
    tested = commands.add_parser("restore-test", help="restore into a new database, check it, drop it")
    tested.add_argument("--from", dest="source", default="latest")
    return parser


def perform(options: argparse.Namespace) -> tuple[str, Any]:
    """(sentences, result) of a command."""
    # By the environment, which sudo empties: whoever may run this as its user must not say which programs it starts.
    said = os.environ.get("SLIPWAY_BACKUP_CONFIG")
    own = settings.read(Path(said) if said else settings.path_of(options.app))
    if options.command == "backup":
        keep = own.keep if options.keep is None else options.keep
        _refuse_to_push_out(options.kind, options.keep)
        if keep not in KEPT:
            raise RefusedError(
                f"{keep} backups cannot be kept: say a number from 1 to 1000. Nothing was changed."
            )
        record = dump.backup(own, options.kind, options.reason, options.release, keep)
        return f"{record['file']} in {own.folder}: {record['detail']}, checksum and contents checked.", record
    if options.command == "list":
        found = files.records(own.folder)
        return "\n".join(map(_line, found)) or f"{own.folder} holds no backup.", found
    if options.command == "restore":
        result = restore.restore(own, options.into, options.source, options.replace, options.drop)
    else:
        result = restore.test(own, options.source)
    left_out = f" Left out, because only a superuser makes it: {', '.join(result['left_out'])}."
    return f"{result['detail']}{left_out if result['left_out'] else ''} {result['state']}", result


def _refuse_to_push_out(kind: str, keep: int | None) -> None:
    """Who comes by sudo makes backups, and none of these pushes out what the timer made."""
    if os.environ.get("SUDO_UID", "0") == "0":
        return
    if kind == "routine" or (kind == "point" and keep is not None):
        raise RefusedError(
            "Whoever deploys makes backups by hand and before migrations; how many routine ones and points stay is "
            "said in the inventory (backups_keep). Nothing was changed. Type: fab db-backup"
        )


def _line(record: dict[str, Any]) -> str:
    about = record["reason"] or record["kind"]
    release = record["release"] or "no release"
    return (
        f"{record['file']}  {words.size(record['bytes']):>9}  schema {record['revision']}  {release}  {about}"
    )


def main() -> int:
    # One program by four names, for users of their own: what it is called says what is meant.
    called = Path(sys.argv[0]).name
    if called == UPGRADE:
        from database_backup.upgrade import cli as upgrade

        return _answered(upgrade.parser().parse_args(), upgrade.perform)
    if called == PHYSICAL:
        from database_backup.physical import cli as physical

        return _answered(physical.parser().parse_args(), physical.perform)
    if called == COPY:
        from database_backup.copying import cli as copying

        return _answered(copying.parser().parse_args(), copying.perform)
    return _answered(_parser().parse_args(), perform)


def _answered(options: argparse.Namespace, does: Callable[[argparse.Namespace], tuple[str, Any]]) -> int:
    # A dump holds everything that the database keeps from others.
    os.umask(0o077)
    try:
        try:
            sentences, result = does(options)
        except OSError as failure:
            # What fails of many at once has no reason of its own.
            why = f"{failure.strerror} ({failure.filename})" if failure.strerror else shown(str(failure))
            raise FailedError(
                f"{options.command} ended early: {why}. No backup that was there is "
                "touched by this; type the same again when that is mended."
            ) from None
    except BackupError as failure:
        answer = {"ok": False, "message": str(failure), "exit": failure.exit_code}
        print(
            json.dumps(answer) if options.json else failure, file=sys.stdout if options.json else sys.stderr
        )
        return failure.exit_code
    print(json.dumps({"ok": True, "message": sentences, "result": result}) if options.json else sentences)
    return 0
