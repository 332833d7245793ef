"""Alembic migrations beside a running service. What a service's own code may use; all else is the command's.

Kept light: a service's workers import it for Revisions and the window.
"""

from slipway_migrator.backfill import Backfill
from slipway_migrator.books import include_name, tables
from slipway_migrator.errors import MigrationError, RevisionError
from slipway_migrator.indexes import create_index_concurrently, drop_index_concurrently
from slipway_migrator.revisions import Revision, Revisions
from slipway_migrator.window import APPLIED, Applied, Verdict, judge

__all__ = [
    "APPLIED",
    "Applied",
    "Backfill",
    "MigrationError",
    "Revision",
    "RevisionError",
    "Revisions",
    "Verdict",
    "create_index_concurrently",
    "drop_index_concurrently",
    "include_name",
    "judge",
    "tables",
]
