"""Create products, and the record of the schema's changes

Revision ID: 5d2c8f1e9a40
Revises:
Created: 2026-11-22 17:00:00+00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "5d2c8f1e9a40"
down_revision = None
branch_labels = None
depends_on = None

# "expand": releases that know only the previous revision keep working on this one. "contract": they do not.
kind = "expand"

# Whoever the schema's default privileges let change rows may read what the schema is, and not say what it is.
READ_ONLY = """
DO $$
DECLARE held record;
BEGIN
    FOR held IN
        SELECT DISTINCT c.oid::regclass::text AS name, a.grantee::regrole::text AS grantee
        FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid IN ('alembic_version'::regclass, 'schema_changes'::regclass)
            AND a.grantee <> c.relowner AND a.grantee <> 0
    LOOP
        EXECUTE 'REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON ' || held.name || ' FROM ' || held.grantee;
    END LOOP;
END $$
"""


def _create_schema_changes() -> None:
    op.create_table(
        "schema_changes",
        sa.Column("revision", sa.String(32), nullable=False),
        sa.Column("down_revision", sa.String(32), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("revision", name="pk_schema_changes"),
        sa.CheckConstraint("kind IN ('expand', 'contract')", name=op.f("ck_schema_changes_kind_known")),
    )
    op.execute(READ_ONLY)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    _create_schema_changes()
    op.create_table(
        "products",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("sku", sa.String(64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("category", sa.String(64), nullable=False),
        sa.Column("price", sa.Numeric(12, 2), nullable=False),
        sa.Column("stock", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_products"),
        sa.UniqueConstraint("sku", name="uq_products_sku"),
        sa.CheckConstraint("price >= 0", name=op.f("ck_products_price_not_negative")),
        sa.CheckConstraint("stock >= 0", name=op.f("ck_products_stock_not_negative")),
    )
    # Room in each page keeps changes of stock heap-only updates.
    op.execute("ALTER TABLE products SET (fillfactor = 80)")
    op.create_index(
        "ix_products_category_id",
        "products",
        ["category", sa.text("id DESC")],
        postgresql_where=sa.text("is_active"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.drop_table("products")
    op.drop_table("schema_changes")
