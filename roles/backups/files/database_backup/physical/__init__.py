"""Physical backups of the whole cluster by pgBackRest, any moment restored beside it; runs as `postgres`."""
