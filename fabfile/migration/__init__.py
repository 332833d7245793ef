"""The schema of a database in use: what a release would change, what that locks, changing it, what was changed."""
