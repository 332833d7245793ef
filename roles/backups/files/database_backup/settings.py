"""What the role `backups` wrote for this host: which database, where to, how many."""

from __future__ import annotations

import configparser
from dataclasses import dataclass
from pathlib import Path

from database_backup.errors import RefusedError

FOLDER = Path("/etc/slipway")
NAME = "database-backup.conf"


@dataclass(frozen=True)
class Settings:
    """socket: the folder of the server's socket. programs: of its client programs. data: the disk it lies on.

    keep: how many dumps of each kind stay. live: the link that names the live release; it may be missing.
    account: whom client programs run as, "" as ourselves.
    """

    database: str
    folder: Path
    keep: int
    user: str
    socket: Path
    port: int
    programs: Path
    data: Path
    live: Path
    account: str = ""


def path_of(app: str | None) -> Path:
    """Where the settings of a service are; of the only one here, where it is not said which. Raises RefusedError."""
    found = sorted(path.parent.name for path in FOLDER.glob(f"*/{NAME}"))
    # Of what is found alone is a path made: whoever comes by sudo must not name another folder.
    if app is not None and app not in found:
        raise RefusedError(
            f"{app!r} is no service with backups here; there is {', '.join(found) or 'none'}. Nothing was changed. "
            "It is written by: ansible-playbook -i inventory/ENV playbooks/database.yml"
        )
    if app is None and len(found) > 1:
        raise RefusedError(
            f"This host has the databases of several services, {' and '.join(found)}. "
            f"Say which is meant: database-backup --app={found[0]} …"
        )
    return FOLDER / (app or (found[0] if found else "SERVICE")) / NAME


def read(path: Path) -> Settings:
    """The settings. Raises RefusedError when the file is missing or not whole."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
        own = parser["backup"]
        return Settings(
            database=own["database"],
            folder=Path(own["folder"]),
            keep=int(own["keep"]),
            user=own["user"],
            socket=Path(own["socket"]),
            port=int(own["port"]),
            programs=Path(own["programs"]),
            data=Path(own["data"]),
            live=Path(own["live"]),
        )
    except (OSError, ValueError, KeyError, configparser.Error) as failure:
        raise RefusedError(
            f"{path} does not say what to back up ({failure}). Nothing was changed. "
            "It is written by: ansible-playbook -i inventory/ENV playbooks/database.yml"
        ) from None
