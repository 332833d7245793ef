"""What the role `backups` wrote for this host: which database, where to, how many."""

from __future__ import annotations

import configparser
from dataclasses import dataclass
from pathlib import Path

from database_backup.errors import RefusedError

PATH = Path("/etc/slipway/database-backup.conf")


@dataclass(frozen=True)
class Settings:
    """socket: the folder of the server's socket. programs: of its client programs. data: the disk it lies on.

    keep: how many dumps of each kind stay. live: the link that names the live release; it may be missing.
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


def read(path: Path = PATH) -> Settings:
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
