"""What the role `backups` wrote for this host: which database, where to, how many."""

from __future__ import annotations

import configparser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from database_backup.errors import RefusedError

FOLDER = Path("/etc/slipway")
NAME = "database-backup.conf"
WRITTEN_BY = "It is written by: ansible-playbook -i inventory/ENV playbooks/database.yml"


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


def file_of(name: str, app: str | None) -> tuple[Path | None, list[str]]:
    """(A service's file of that name, or that of the only one here where none is said; the services that have one)."""
    found = sorted(path.parent.name for path in FOLDER.glob(f"*/{name}"))
    app = found[0] if app is None and len(found) == 1 else app
    # Of what is found alone is a path made: whoever comes by sudo must not name another folder.
    return (FOLDER / str(app) / name if app in found else None), found


@contextmanager
def section(
    path: Path, name: str, what: str, written_by: str = WRITTEN_BY
) -> Iterator[configparser.SectionProxy]:
    """What a file says. what: to do. Raises RefusedError when it is missing, or not what the block makes of it."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
        yield parser[name]
    except (OSError, ValueError, KeyError, configparser.Error) as failure:
        raise RefusedError(
            f"{path} does not say what to {what} ({failure}). Nothing was changed. {written_by}"
        ) from None


def path_of(app: str | None) -> Path:
    """Where the settings of a service are; of the only one here, where it is not said which. Raises RefusedError."""
    path, found = file_of(NAME, app)
    if path is None and app is not None:
        raise RefusedError(
            f"{app!r} is no service with backups here; there is {', '.join(found) or 'none'}. Nothing was changed. "
            f"{WRITTEN_BY}"
        )
    if path is None and found:
        raise RefusedError(
            f"This host has the databases of several services, {' and '.join(found)}. "
            f"Say which is meant: database-backup --app={found[0]} …"
        )
    return path or FOLDER / "SERVICE" / NAME


def read(path: Path) -> Settings:
    """The settings. Raises RefusedError when the file is missing or not whole."""
    with section(path, "backup", "back up") as own:
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
