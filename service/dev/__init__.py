"""Working on the service: a PostgreSQL of its own, seeded, and the service beside it, reloaded on change."""
