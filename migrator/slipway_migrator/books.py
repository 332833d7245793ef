"""The tables that are kept beside a service's own: what was applied by which release, how far backfills are.

A service whose own revisions create them keeps those; else a migration creates what is missing.
"""

from collections.abc import Sequence

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    DateTime,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    delete,
    false,
    func,
    inspect,
    select,
    text,
)

from slipway_migrator.errors import MigrationError
from slipway_migrator.order import Revision

tables = MetaData()

# One revision that is applied, written in the same transaction. Releases that do not carry it read its kind here.
schema_changes = Table(
    "schema_changes",
    tables,
    Column("revision", String(32), nullable=False),
    Column("down_revision", String(32)),
    Column("kind", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("applied_at", DateTime(timezone=True), server_default=func.now(), nullable=False),
    PrimaryKeyConstraint("revision", name="pk_schema_changes"),
    CheckConstraint("kind IN ('expand', 'contract')", name="ck_schema_changes_kind_known"),
)
# How far a backfill is. position: the last key that is done, as text; null before a pass.
backfills = Table(
    "backfills",
    tables,
    Column("name", Text, nullable=False),
    Column("position", Text),
    Column("passes", Integer, server_default=text("1"), nullable=False),
    Column("rows_done", BigInteger, server_default=text("0"), nullable=False),
    Column("batches_done", BigInteger, server_default=text("0"), nullable=False),
    Column("paused", Boolean, server_default=false(), nullable=False),
    Column("started_at", DateTime(timezone=True), server_default=func.now(), nullable=False),
    Column("updated_at", DateTime(timezone=True), server_default=func.now(), nullable=False),
    Column("finished_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("name", name="pk_backfills"),
)
NAMES = ("alembic_version", *tables.tables)


def include_name(name: str | None, kind: str, _parents: object) -> bool:
    """For an env.py's `include_name=`: a comparison with the models leaves these tables alone."""
    return kind != "table" or name not in tables.tables


def record(connection: Connection, applied: Sequence[Revision], release: str) -> None:
    """Make schema_changes say what is applied, in the open transaction; its table appears where it is missing."""
    _require(connection, schema_changes)
    names = [each.revision for each in applied]
    connection.execute(delete(schema_changes).where(schema_changes.c.revision.not_in(names)))
    there = set(connection.scalars(select(schema_changes.c.revision)))
    rows = [
        {
            "revision": each.revision,
            "down_revision": each.down_revision,
            "kind": each.kind,
            "release": release,
        }
        for each in applied
        if each.revision not in there
    ]
    if rows:
        connection.execute(schema_changes.insert(), rows)


def complete(connection: Connection) -> None:
    """Create what is missing once a service's last revision is applied: none of its own will create it."""
    _require(connection, backfills)


def _require(connection: Connection, table: Table) -> None:
    inspector = inspect(connection)
    if not inspector.has_table(table.name):
        table.create(connection)
        return
    there = {column["name"] for column in inspector.get_columns(table.name)}
    missing = sorted(set(table.columns.keys()) - there)
    if missing:
        raise MigrationError(
            f"there is a table {table.name} of the service's own, without {', '.join(missing)}: Slipway keeps "
            f"{'what was applied' if table is schema_changes else 'how far backfills are'} in a table of that name. "
            "Rename the service's."
        )
