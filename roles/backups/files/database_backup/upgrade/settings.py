"""What the role `backups` wrote for an upgrade of this host's cluster: from where, to where, by what means."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from database_backup import settings as logical
from database_backup.errors import RefusedError

NAME = "database-upgrade.conf"
DEBIAN, PLAIN = "debian", "plain"


@dataclass(frozen=True)
class Side:
    """One of the two clusters. conf: the folder of its settings. data: its rows. programs: the server's."""

    version: str
    conf: Path
    data: Path
    programs: Path


@dataclass(frozen=True)
class Settings:
    """port: the service's. spare: where the cluster that does not serve listens. socket: the folder of both sockets.

    old, new: the clusters. control: what starts them, systemd's units of postgresql-common (debian) or pg_ctl (plain).
    account: the servers' user, "" where we are that. folder: our journal. clients: psql and pg_dump. rehearsals: where
    throw-away clusters are. follow: files that say which cluster serves. physical: whether any moment is backed up.
    """

    database: str
    cluster: str
    port: int
    spare: int
    socket: Path
    old: Side
    new: Side
    control: str
    account: str
    folder: Path
    clients: Path
    rehearsals: Path
    follow: tuple[Path, ...]
    physical: bool

    def server(self, port: int) -> logical.Settings:
        """How client programs find the cluster on a port, as its superuser."""
        return logical.Settings(
            self.database, self.folder, 0, "postgres", self.socket, port, self.clients, self.new.data,
            Path("/nonexistent"), self.account,
        )  # fmt: skip

    def side(self, version: str) -> Side:
        return self.old if version == self.old.version else self.new


def path_of(app: str | None) -> Path:
    """Where the settings of an upgrade are; of the only one here, where it is not said which. Raises RefusedError."""
    path, _ = logical.file_of(NAME, app)
    if path is None:
        raise RefusedError(
            f"The inventory plans no upgrade of {app or 'a service here'}. Nothing was changed. Say in it to which "
            'major, as in postgresql_upgrade_to: "17", and type: ansible-playbook -i inventory/ENV '
            "playbooks/database.yml. docs/runbooks/upgrade-postgresql.md"
        )
    return path


def read(path: Path) -> Settings:
    """The settings. Raises RefusedError when the file is missing or not whole."""
    with logical.section(path, "upgrade", "upgrade") as own:
        old, new = (
            Side(own[name], *(Path(own[f"{name}_{what}"]) for what in ("conf", "data", "programs")))
            for name in ("old", "new")
        )
        if own["control"] not in (DEBIAN, PLAIN):
            raise ValueError(f"control = {own['control']}")
        return Settings(
            database=own["database"],
            cluster=own["cluster"],
            port=int(own["port"]),
            spare=int(own["spare"]),
            control=own["control"],
            account=own["account"],
            follow=tuple(Path(each) for each in own["follow"].split()),
            physical=own["physical"] == "yes",
            old=old,
            new=new,
            folder=Path(own["folder"]),
            socket=Path(own["socket"]),
            clients=Path(own["clients"]),
            rehearsals=Path(own["rehearsals"]),
        )
