"""Create accounts, orders, the stock log, idempotency keys and the outbox

Revision ID: a3f6d8025b71
Revises: 7b1e4c9a2d53
Created: 2026-11-22 20:10:00+00:00
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "a3f6d8025b71"
down_revision = "7b1e4c9a2d53"
branch_labels = None
depends_on = None

# "expand": releases that know only the previous revision keep working on this one. "contract": they do not.
kind = "expand"

# Whoever the schema's default privileges let change rows may not rewrite what happened to the stock.
APPEND_ONLY = """
DO $$
DECLARE grantee text;
BEGIN
    FOR grantee IN
        SELECT DISTINCT a.grantee::regrole::text
        FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = 'stock_log'::regclass AND a.grantee <> c.relowner AND a.grantee <> 0
    LOOP
        EXECUTE 'REVOKE UPDATE, DELETE, TRUNCATE ON stock_log FROM ' || grantee;
    END LOOP;
END $$
"""


def _moment(name: str, *, now: bool = True, nullable: bool = False) -> sa.Column[object]:
    default = sa.func.now() if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def _reference(table: str, column: str, target: str, ondelete: str = "RESTRICT") -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_{column}_{target}"
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=name, ondelete=ondelete)


def _create_accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("currency", sa.CHAR(3), server_default=sa.text("'EUR'"), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'active'"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        _moment("created_at"),
        _moment("updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_accounts"),
        _reference("accounts", "owner_id", "users"),
        sa.CheckConstraint("char_length(name) >= 1", name=op.f("ck_accounts_name_not_empty")),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_accounts_currency_is_a_code")),
        sa.CheckConstraint(
            "status IN ('active', 'suspended', 'closed')", name=op.f("ck_accounts_status_known")
        ),
    )
    op.create_index("ix_accounts_owner_id_id", "accounts", ["owner_id", "id"])
    op.create_table(
        "account_members",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), server_default=sa.text("'member'"), nullable=False),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("account_id", "user_id", name="pk_account_members"),
        _reference("account_members", "account_id", "accounts", "CASCADE"),
        _reference("account_members", "user_id", "users", "CASCADE"),
        sa.CheckConstraint("role IN ('owner', 'member')", name=op.f("ck_account_members_role_known")),
    )
    op.create_index("ix_account_members_user_id_account_id", "account_members", ["user_id", "account_id"])


def _create_orders() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("total", sa.Numeric(14, 2), nullable=False),
        sa.Column("currency", sa.CHAR(3), nullable=False),
        sa.Column("idempotency_key", sa.String(64), nullable=True),
        _moment("created_at"),
        _moment("updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_orders"),
        _reference("orders", "account_id", "accounts"),
        _reference("orders", "created_by", "users"),
        sa.CheckConstraint(
            "status IN ('pending', 'paid', 'shipped', 'cancelled')", name=op.f("ck_orders_status_known")
        ),
        sa.CheckConstraint("total >= 0", name=op.f("ck_orders_total_not_negative")),
    )
    op.create_index(
        "ix_orders_account_id_id",
        "orders",
        ["account_id", sa.text("id DESC")],
        postgresql_include=["status", "total"],
    )
    op.create_index("ix_orders_created_by", "orders", ["created_by"])
    op.create_index("ix_orders_pending", "orders", ["id"], postgresql_where=sa.text("status = 'pending'"))
    op.create_table(
        "order_items",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("unit_price", sa.Numeric(12, 2), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "product_id", name="pk_order_items"),
        _reference("order_items", "order_id", "orders", "CASCADE"),
        _reference("order_items", "product_id", "products"),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_order_items_quantity_positive")),
    )
    op.create_index("ix_order_items_product_id", "order_items", ["product_id"])


def _create_stock_log() -> None:
    op.create_table(
        "stock_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("product_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("change_amount", sa.Integer(), nullable=False),
        sa.Column("balance_after", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_stock_log"),
        _reference("stock_log", "product_id", "products"),
        _reference("stock_log", "order_id", "orders"),
        _reference("stock_log", "actor_id", "users"),
        sa.UniqueConstraint(
            "order_id", "product_id", "reason", name="uq_stock_log_order_id_product_id_reason"
        ),
        sa.CheckConstraint("change_amount <> 0", name=op.f("ck_stock_log_change_not_zero")),
        sa.CheckConstraint("balance_after >= 0", name=op.f("ck_stock_log_balance_not_negative")),
        sa.CheckConstraint(
            "reason IN ('order', 'cancel', 'restock', 'adjust')", name=op.f("ck_stock_log_reason_known")
        ),
    )
    op.create_index("ix_stock_log_product_id_id", "stock_log", ["product_id", sa.text("id DESC")])
    op.create_index("ix_stock_log_actor_id", "stock_log", ["actor_id"])
    op.execute(APPEND_ONLY)


def _create_bookkeeping() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("body", JSONB(), nullable=False),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("account_id", "key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("payload", JSONB(), nullable=False),
        _moment("created_at"),
        _moment("sent_at", now=False, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )
    op.create_index("ix_outbox_unsent", "outbox", ["id"], postgresql_where=sa.text("sent_at IS NULL"))


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    _create_accounts()
    _create_orders()
    _create_stock_log()
    _create_bookkeeping()


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    for table in (
        "outbox",
        "idempotency_keys",
        "stock_log",
        "order_items",
        "orders",
        "account_members",
        "accounts",
    ):
        op.drop_table(table)
