"""Create backfills, where each batched change of rows keeps how far it is

Revision ID: c4d19e7b3a60
Revises: a3f6d8025b71
Created: 2026-11-23 00:50:00+00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "c4d19e7b3a60"
down_revision = "a3f6d8025b71"
branch_labels = None
depends_on = None

# "expand": releases that know only the previous revision keep working on this one. "contract": they do not.
kind = "expand"


def _moment(name: str, *, nullable: bool) -> sa.Column[object]:
    default = None if nullable else sa.func.now()
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.create_table(
        "backfills",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.Text(), nullable=True),
        sa.Column("passes", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("rows_done", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("batches_done", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("paused", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        _moment("started_at", nullable=False),
        _moment("updated_at", nullable=False),
        _moment("finished_at", nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_backfills"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.drop_table("backfills")
