"""`repository-copy fetch|list|give` on the host that copies, `serve` on the database's."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from database_backup import files, lock, words
from database_backup.copying import fetching, serving, settings
from database_backup.errors import FailedError, RefusedError
from database_backup.server import shown

# Seconds that whoever brings a repository back waits for a fetch.
PATIENCE = 120.0


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="repository-copy", description=__doc__)
    found.add_argument("--json", action="store_true")
    found.add_argument("--app", help="the service whose repository is meant, where this host has several")
    commands = found.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch", help="fetch what is new")
    commands.add_parser("list", help="the copies that are here")
    commands.add_parser("give", help="give a copy back to a database's host that waits for it").add_argument(
        "--system", default="", help="of which cluster, where there are several"
    )
    commands.add_parser("serve", help="what sshd starts on the database's host")
    return found


def perform(options: argparse.Namespace) -> tuple[str, Any]:
    """(sentences, result) of a command."""
    name = settings.SERVING if options.command == "serve" else settings.FETCHING
    given = os.environ.get("SLIPWAY_BACKUP_CONFIG")
    path = Path(given) if given else settings.path_of(name, options.app)
    if options.command == "serve":
        return serving.serve(settings.serving(path)), {}
    mine = settings.fetching(path)
    if options.command == "fetch":
        found = fetching.fetch(mine)
        return f"{said(found)}, in {found['seconds']} s.", found
    if options.command == "give":
        return give(mine, options.system)
    return listed(mine)


def said(found: dict[str, Any]) -> str:
    labels = found["labels"]
    return (
        f"{len(labels)} backups of the cluster {found['system']} (the newest {labels[-1] if labels else 'none'}) and "
        "WAL up to "
        f"{found['newest_segment'] or 'none'}, {words.size(found['bytes'])}"
    )


def copies(mine: settings.Fetching) -> list[dict[str, Any]]:
    """Each cluster's copy; the one that was fetched last comes last."""
    there = [
        path
        for path in mine.copies.glob("*")
        if (path / "repository/backup" / mine.stanza / "backup.info").exists()
    ]
    there.sort(key=lambda path: (path / "repository/slipway" / mine.stanza).stat().st_mtime)
    return [{"system": path.name, **fetching.contents(path / "repository", mine.stanza)} for path in there]


def listed(mine: settings.Fetching) -> tuple[str, Any]:
    found = copies(mine)
    last = files.read(mine.folder / fetching.MARK)
    return "\n".join(map(said, found)) or "There is no copy yet.", {"copies": found, "last": last}


def give(mine: settings.Fetching, system: str) -> tuple[str, Any]:
    """Sends a copy to where the database's host waits for one. Raises RefusedError, FailedError."""
    # A fetch by the timer, which finds nothing there, is over in seconds.
    with lock.held(mine.folder / fetching.LOCK, f"a copy of {mine.stanza}", PATIENCE) as descriptor:
        found = [each for each in copies(mine) if system in ("", each["system"])]
        if len(found) != 1:
            which = ", ".join(f"{each['system']} ({each['labels'][-1:]})" for each in copies(mine)) or "none"
            raise RefusedError(
                f"Which cluster's copy is meant has to be said with --system; there is {which}. Nothing was changed."
            )
        copy = mine.copies / found[0]["system"] / "repository"
        done = fetching.transfer(mine, descriptor, [], "incoming", copy, back=True)
        if done.returncode != 0:
            raise FailedError(
                f"The copy was not given: rsync ended with status {done.returncode}: {shown(done.stderr)}. It is as "
                "it was; "
                "the same again goes on."
            )
    return f"Given: {said(found[0])}.", found[0]
