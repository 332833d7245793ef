"""Backups of the service's database, made on its host by the program that its timers run."""

from fabfile.backups.asking import backup, backup_point, listed, restore

__all__ = ["backup", "backup_point", "listed", "restore"]
