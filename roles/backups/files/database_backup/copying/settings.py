"""What the roles `copies` and `backups` wrote for either end of a copy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from database_backup import settings as logical
from database_backup.errors import RefusedError

FETCHING = "repository-copy.conf"
SERVING = "repository-serving.conf"
WRITTEN_BY = "It is written by: ansible-playbook -i inventory/ENV site.yml"


@dataclass(frozen=True)
class Fetching:
    """Of the host that copies. stanza: pgBackRest's name for the cluster. folder: marks, and the copies below it.

    host: who copies, by its name. shell, there: the words of ssh, and whom it calls. keep_days: how long what vanished
    there stays here.
    """

    stanza: str
    folder: Path
    host: str
    shell: tuple[str, ...]
    there: str
    keep_days: int

    @property
    def copies(self) -> Path:
        return self.folder / "copies"

    @property
    def staged(self) -> Path:
        return self.folder / "staged"


@dataclass(frozen=True)
class Serving:
    """Of the database's host. daemon: what rsync lets be read. receipt: what the other host last said."""

    daemon: Path
    receipt: Path


def path_of(name: str, app: str | None) -> Path:
    """Where the settings of a service are; of the only one here, where it is not said which. Raises RefusedError."""
    path, found = logical.file_of(name, app)
    if path is None:
        raise RefusedError(
            f"{app or 'The service to be said with --app'} has no copy of a repository here; there is "
            f"{', '.join(found) or 'none'}. Nothing was changed. {WRITTEN_BY}"
        )
    return path


def fetching(path: Path) -> Fetching:
    """Raises RefusedError when the file is missing or not whole."""
    with logical.section(path, "copy", "copy", WRITTEN_BY) as own:
        return Fetching(
            own["stanza"], Path(own["folder"]), own["host"], tuple(own["shell"].split()), own["there"],
            int(own["keep_days"]),
        )  # fmt: skip


def serving(path: Path) -> Serving:
    """Raises RefusedError when the file is missing or not whole."""
    with logical.section(path, "serve", "copy", WRITTEN_BY) as own:
        return Serving(Path(own["daemon"]), Path(own["receipt"]))
