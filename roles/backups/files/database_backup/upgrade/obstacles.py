"""What speaks against an upgrade: each obstacle by name, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from database_backup import words
from database_backup.upgrade import known
from database_backup.upgrade.settings import Settings

SHOWN = 8
SERVER_PROGRAMS, CLIENT_PROGRAMS = ("postgres",), ("psql", "pg_dump", "pg_dumpall")


@dataclass(frozen=True)
class Obstacle:
    """what: a word for it. blocks: whether the upgrade is refused until that is mended. say: names, what to do."""

    what: str
    blocks: bool
    say: str

    @property
    def record(self) -> dict[str, Any]:
        return {"what": self.what, "blocks": self.blocks, "say": self.say}


BLOCKS = {
    "no_identity": (
        "replica identity",
        "{names} have no primary key and no other identity of a row: once their changes are published, UPDATE "
        "and DELETE on "
        "them fail. Give each a primary key, or, where it is small: ALTER TABLE … REPLICA IDENTITY FULL, by a "
        "migration.",
    ),
    "not_comparable": (
        "replica identity",
        "{names} are told apart by whole rows (REPLICA IDENTITY FULL), with a column whose values cannot be "
        "compared. Give "
        "each a primary key.",
    ),
    "large_objects": (
        "large objects",
        "There are {names} large objects (lo_create and the like), which are not replicated. Move them into "
        "bytea columns, "
        "or take the simple road (docs/runbooks/upgrade-postgresql.md).",
    ),
    "triggers": (
        "triggers",
        "{names} fire for replicated rows, too (ENABLE ALWAYS or REPLICA), so would do their work a second time. "
        "ALTER TABLE … ENABLE TRIGGER … until the upgrade is finished.",
    ),
    "event_triggers": (
        "event triggers",
        "{names} would fire while the schema is made anew. ALTER EVENT TRIGGER … DISABLE until the upgrade is "
        "finished.",
    ),
    "subscriptions": (
        "subscriptions",
        "{names} bring rows from another server, and would bring them twice. Drop them, and make them anew afterwards.",
    ),
    "extension_tables": (
        "extensions",
        "{names} keep tables of their own, whose first rows the extension brings itself and replication once more. "
        "Take the simple road (docs/runbooks/upgrade-postgresql.md).",
    ),
    "databases": (
        "other databases",
        "{names} lie in the cluster, too, and one database is moved. Drop what a restore left (fab db-restore "
        "--into NAME "
        "--replace --drop), move others away, or take the simple road (docs/runbooks/upgrade-postgresql.md).",
    ),
    "slots": (
        "replication slots",
        "{names} are read by somebody, who would read on at a cluster that does not serve. Drop them: SELECT "
        "pg_drop_replication_slot('…'), and have their readers begin anew afterwards.",
    ),
    "standbys": (
        "standbys",
        "{names} follow this server and would not follow the new one. Remove them, and build them anew afterwards.",
    ),
    "prepared": (
        "prepared transactions",
        "{names} are prepared and neither committed nor rolled back. COMMIT PREPARED or ROLLBACK PREPARED.",
    ),
    "tablespaces": (
        "tablespaces",
        "{names} are outside of the data directory. Take the simple road (docs/runbooks/upgrade-postgresql.md).",
    ),
    "altered": (
        "settings",
        "{names} were set by ALTER SYSTEM, which would not come along. Put them into postgresql_settings of "
        "the inventory, "
        "and ALTER SYSTEM RESET them.",
    ),
    "old_transactions": (
        "long transactions",
        "{names} are open: nothing can be copied until they end. Wait for them, or end them: fab db-kill PID",
    ),
}
TELLS = {
    "stays_behind": (
        "settings",
        "{names} stand in postgresql.conf itself, which is made anew. To have them on the new server, put them into "
        "postgresql_settings of the inventory.",
    ),
    "unlogged": ("unlogged tables", "{names} are not replicated: they are empty on the new server."),
    "views": (
        "materialized views",
        "{names} are not replicated; they are refreshed when all rows are there, and once more after the switch.",
    ),
    "collations": (
        "collations",
        "{names} sort otherwise than when they were made. Indexes are built anew on the new server, so that is "
        "mended there.",
    ),
}


def of_programs(settings: Settings) -> list[Obstacle]:
    folders = ((settings.new.programs, SERVER_PROGRAMS), (settings.clients, CLIENT_PROGRAMS))
    missing = [
        str(folder / name) for folder, names in folders for name in names if not (folder / name).exists()
    ]
    if not missing:
        return []
    said = (
        f"{listed(missing)} are not here: the packages of {settings.new.version} are not installed. With "
        "postgresql_upgrade_to in the inventory: ansible-playbook -i inventory/ENV playbooks/database.yml"
    )
    return [Obstacle("programs", True, said)]


def of_server(found: dict[str, Any]) -> list[Obstacle]:
    obstacles = []
    if found["wal_level"] != "logical":
        said = (
            f"wal_level is {found['wal_level']}, and logical is wanted, which takes a restart: "
            "docs/runbooks/postgresql-waits-for-a-restart.md"
        )
        obstacles.append(Obstacle("wal_level", True, said))
    for name, setting in (("slots_free", "max_replication_slots"), ("senders_free", "max_wal_senders")):
        if found[name] < 4:
            said = (
                f"{found[name]} of {setting} are free, and four are wanted while rows are copied. Raise it in "
                "postgresql_settings; it takes a restart."
            )
            obstacles.append(Obstacle(setting, True, said))
    if found["workers"] < 4 or found["processes"] < 8:
        said = (
            f"max_logical_replication_workers is {found['workers']} and max_worker_processes "
            f"{found['processes']}; 4 and 8 "
            "are wanted. Raise them in postgresql_settings; it takes a restart."
        )
        obstacles.append(Obstacle("workers", True, said))
    if 0 <= found["kept"] < found["bytes"] // 2:
        said = (
            f"A slot may keep {words.size(found['kept'])} of WAL (postgresql_max_slot_wal_keep_size), and "
            f"{words.size(found['bytes'])} are to be copied: more WAL than that meanwhile, and the copy begins anew."
        )
        obstacles.append(Obstacle("WAL", False, said))
    return obstacles


def of_catalogue(found: dict[str, Any]) -> list[Obstacle]:
    return [
        Obstacle(what, blocks, say.format(names=listed(found[name])))
        for table, blocks in ((BLOCKS, True), (TELLS, False))
        for name, (what, say) in table.items()
        if found[name]
    ]


def listed(names: list[str]) -> str:
    """Such as "a, b and 3 more"."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def of_the_new(settings: Settings, found: dict[str, Any]) -> list[Obstacle]:
    """What the new server's own programs and files know."""
    version, obstacles = settings.new.version, []
    if gone := known.unknown(settings, found["settings"]):
        said = (
            f"{listed(gone)} are set, and {version} has no such settings. Take them out of "
            "postgresql_settings, or where they are set."
        )
        obstacles.append(Obstacle("removed settings", True, said))
    programs = settings.new.programs.parent
    shared = (programs / "share/postgresql/extension", programs / "share/extension",
              Path(f"/usr/share/postgresql/{version}/extension"))  # fmt: skip
    controls = {path.stem for folder in shared for path in folder.glob("*.control")}
    missing = [name for name in found["extensions"] if name not in controls]
    if missing:
        said = (
            f"{listed(missing)} are installed in the database, and {version} on this host has none of that "
            f"name: install their packages for {version}."
        )
        obstacles.append(Obstacle("extensions", True, said))
    folders = (programs / "lib/postgresql", programs / "lib")
    absent = [name for name in found["libraries"] if not any((f / f"{name}.so").exists() for f in folders)]
    if absent:
        said = (
            f"{listed(absent)} are to be preloaded, and {version} on this host has no such library: install "
            f"their packages for {version}."
        )
        obstacles.append(Obstacle("libraries", True, said))
    return obstacles


def of_physical_backups() -> Obstacle:
    said = (
        "Physical backups are on, and pgBackRest of Ubuntu 22.04 and Debian 12 (2.37, 2.45) cannot back up 17. Make "
        "both once more (fab db-backup --type full, fab db-backup), then set backups_physical: false: until the "
        "upgrade is finished only the moments of dumps come back. Afterwards: docs/runbooks/upgrade-postgresql.md"
    )
    return Obstacle("tools", True, said)
