"""What the role `backups` wrote for this host's physical backups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from database_backup import settings as logical
from database_backup.errors import RefusedError

NAME = "physical-backup.conf"


@dataclass(frozen=True)
class Settings:
    """stanza: pgBackRest's name for the cluster. config: its own settings, with the key. repository: where they
    lie. folder: marks, seals and locks.

    sides: where clusters are restored to, each a folder by its name. socket, port: of the live server. programs: the
    server's and its clients'. data: the live server's. onlookers: who may look into a restored cluster. control: the
    words that start and stop the live server, `start` or `stop` in the place of {}. copied_by: the host that keeps a
    copy of the repository, "" when none does; receipt: what it last said of it.
    """

    stanza: str
    database: str
    config: Path
    repository: Path
    tool: Path
    folder: Path
    sides: Path
    socket: Path
    port: int
    programs: Path
    data: Path
    onlookers: tuple[str, ...]
    control: tuple[str, ...]
    copied_by: str
    receipt: Path

    def server(self, socket: Path | None = None, port: int = 0) -> logical.Settings:
        """How client programs find the live server, or another one, as its superuser."""
        return logical.Settings(
            self.database, self.folder, 0, "postgres", socket or self.socket, port or self.port, self.programs,
            self.data, Path("/nonexistent"),
        )  # fmt: skip


def path_of(app: str | None) -> Path:
    """Where the settings of a service are; of the only one here, where it is not said which. Raises RefusedError."""
    path, found = logical.file_of(NAME, app)
    if path is None:
        raise RefusedError(
            f"{app or 'The service to be said with --app'} has no physical backups here; "
            f"there is {', '.join(found) or 'none'}. Nothing was changed. They are a choice of the inventory: "
            "backups_physical, in docs/runbooks/db-physical-backup.md"
        )
    return path


def read(path: Path) -> Settings:
    """The settings. Raises RefusedError when the file is missing or not whole."""
    with logical.section(path, "physical", "back up") as own:
        paths = {
            name: Path(own[name])
            for name in ("config", "repository", "tool", "folder", "sides", "socket", "programs", "data")
        }
        return Settings(
            stanza=own["stanza"],
            database=own["database"],
            port=int(own["port"]),
            onlookers=tuple(own["onlookers"].split()),
            control=tuple(own["control"].split()),
            copied_by=own.get("copied_by", ""),
            receipt=Path(own.get("receipt", "/nonexistent")),
            **paths,
        )
