"""The orders and order_items tables."""

import uuid
from datetime import datetime
from decimal import Decimal

from sqlalchemy import (
    CHAR,
    CheckConstraint,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Numeric,
    String,
    Text,
    desc,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from shop.core.database import Base
from shop.products.models import StockChange


class Order(Base):
    """One order of an account; `total` is the sum of its items in the account's currency."""

    __tablename__ = "orders"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("accounts.id", ondelete="RESTRICT"))
    created_by: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    status: Mapped[str] = mapped_column(Text, server_default=text("'pending'"))
    total: Mapped[Decimal] = mapped_column(Numeric(14, 2))
    currency: Mapped[str] = mapped_column(CHAR(3))
    idempotency_key: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

    __table_args__ = (
        CheckConstraint("status IN ('pending', 'paid', 'shipped', 'cancelled')", name="status_known"),
        CheckConstraint("total >= 0", name="total_not_negative"),
        Index("ix_orders_account_id_id", "account_id", desc("id"), postgresql_include=["status", "total"]),
        Index("ix_orders_created_by", "created_by"),
        Index("ix_orders_pending", "id", postgresql_where=text("status = 'pending'")),
    )


class OrderItem(Base):
    """One product of an order, at the price it had then."""

    __tablename__ = "order_items"

    order_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("orders.id", ondelete="CASCADE"), primary_key=True)
    product_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("products.id", ondelete="RESTRICT"), primary_key=True
    )
    quantity: Mapped[int]
    unit_price: Mapped[Decimal] = mapped_column(Numeric(12, 2))

    __table_args__ = (
        CheckConstraint("quantity > 0", name="quantity_positive"),
        Index("ix_order_items_product_id", "product_id"),
    )


# The stock log is the products'; what it says of an order is ours, so the reference stands on this side.
StockChange.metadata.tables[StockChange.__tablename__].append_constraint(
    ForeignKeyConstraint(["order_id"], ["orders.id"], ondelete="RESTRICT")
)
