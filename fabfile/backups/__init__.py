"""Backups of the service's database, made on its host by the programs that its timers run."""

from fabfile.backups.asking import (
    backup,
    backup_point,
    has_physical,
    in_place,
    listed,
    physical,
    restore,
    restore_point,
    upgrade,
)

__all__ = [
    "backup",
    "backup_point",
    "has_physical",
    "in_place",
    "listed",
    "physical",
    "restore",
    "restore_point",
    "upgrade",
]
