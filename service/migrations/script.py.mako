"""${message}

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}
Created: ${create_date}
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}

# "expand": releases that know only the previous revision keep working on this one. "contract": they do not.
kind = "expand"

# An index of a table that is in use is one line, and comes before anything else:
# from slipway_migrator import create_index_concurrently, drop_index_concurrently
# create_index_concurrently("ix_orders_paid_at", "orders", ["paid_at"])


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    ${downgrades if downgrades else "pass"}
