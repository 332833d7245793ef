"""Alembic migrations beside a running service. What a service's own code may use; all else is the command's.

Kept light: a service's workers import it for the order of the revisions and the window. Alembic comes with what needs
it, at its first use.
"""

from typing import TYPE_CHECKING, Any

from slipway_migrator.backfill import Backfill
from slipway_migrator.books import include_name, tables
from slipway_migrator.errors import MigrationError, RevisionError
from slipway_migrator.order import Order, Revision
from slipway_migrator.window import APPLIED, Applied, Verdict, judge, order_below

if TYPE_CHECKING:
    from slipway_migrator.indexes import create_index_concurrently, drop_index_concurrently
    from slipway_migrator.revisions import Revisions

__all__ = [
    "APPLIED",
    "Applied",
    "Backfill",
    "MigrationError",
    "Order",
    "Revision",
    "RevisionError",
    "Revisions",
    "Verdict",
    "create_index_concurrently",
    "drop_index_concurrently",
    "include_name",
    "judge",
    "order_below",
    "tables",
]


def __getattr__(name: str) -> Any:
    if name == "Revisions":
        from slipway_migrator import revisions as module
    elif name in ("create_index_concurrently", "drop_index_concurrently"):
        from slipway_migrator import indexes as module
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(module, name)
