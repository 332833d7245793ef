"""The program of the database's host: looks as `fab db-status` does, and writes what it saw as metrics.

Run by a timer as the user who deploys, who sees what an engineer sees. Its settings are written by the role exporters.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabfile.database import look
from fabfile.database.asking import releases
from fabfile.database.asking.place import Database
from fabfile.database.checks import acceptances, thresholds
from fabfile.database.checks.counters import Memory
from fabfile.database.screen import metrics
from fabfile.errors import FabError, RefusedError
from fabfile.hosts.app_host import AppHost
from fabfile.hosts.policies import Budget

SETTINGS = "/etc/slipway/{app}/database-status.json"
NOWHERE = Path("/dev/null")


@dataclass(frozen=True)
class Watched:
    """An environment as far as a look needs it (place.Asked)."""

    name: str
    app: str
    app_hosts: tuple[AppHost, ...]
    budget: Budget


def main(arguments: list[str] | None = None) -> int:
    """0, or 1 after a sentence: what is wrong with the database is no failure of this program."""
    options = _parser().parse_args(arguments)
    try:
        given = json.loads(
            Path(options.settings or SETTINGS.format(app=options.app)).read_text(encoding="utf-8")
        )
        text = looked(given)
        if options.to is None:
            print(text, end="")
        else:
            written(options.to, text)
    except (FabError, OSError, ValueError, KeyError, TypeError) as failure:
        print(f"The database was not looked at: {failure or type(failure).__name__}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="database-status", description=__doc__)
    parser.add_argument("--app", required=True, help="the service whose database is meant")
    parser.add_argument("--settings", help="a file instead of /etc/slipway/<app>/database-status.json")
    parser.add_argument(
        "--to", type=Path, help="the file to write, whole or not at all; standard output without it"
    )
    return parser


def looked(given: dict[str, Any]) -> str:
    """One look, as metrics. given: the settings. Raises RefusedError, UnreachableError."""
    database = _database(given)
    thresholds.of(database.overrides)
    accepted = acceptances.load(database.accepted)
    hosts = tuple(_host(name, given["app"]) for name in given["app_hosts"])
    watched = Watched(given["environment"], given["app"], hosts, Budget(**given["budget"]))
    release = releases.OnTheHost() if given["host"] in given["app_hosts"] else releases.Nowhere()
    memory = Memory(watched.name, Path(given["counters"]))
    with look.Look(watched, database, accepted, memory=memory, release=release) as eye:
        return metrics.encoded(eye.again(), given["app"])


def _database(given: dict[str, Any]) -> Database:
    if not isinstance(given.get("thresholds"), dict):
        raise RefusedError("the settings have no thresholds.")
    return Database(
        host=_host(given["host"], given["app"], given["address"]),
        app=given["app"],
        name=given["database"],
        port=int(given["port"]),
        version=given["version"],
        cluster=given["cluster"],
        replicas=int(given["replicas"]),
        backups_expected=bool(given["backups_expected"]),
        physical_expected=bool(given["physical_expected"]),
        overrides=given["thresholds"],
        accepted=given["accepted"],
        certificates=given["certificates"],
        here=True,
        sockets=given["sockets"],
    )


def _host(name: str, app: str, address: str = "") -> AppHost:
    return AppHost(name, address, 0, "", None, NOWHERE, app=app)


def written(path: Path, text: str) -> None:
    """Put a file in its place, readable for all, in one step."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


if __name__ == "__main__":
    raise SystemExit(main())
