"""The products and stock_log tables."""

import uuid
from datetime import datetime
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Numeric,
    String,
    Text,
    UniqueConstraint,
    desc,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from shop.core.database import Base


class Product(Base):
    """One thing for sale. `version` rises with every change, `stock` counts pieces."""

    __tablename__ = "products"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(Text)
    category: Mapped[str] = mapped_column(String(64))
    price: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    stock: Mapped[int] = mapped_column(server_default=text("0"))
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

    # The migration also sets fillfactor 80, which SQLAlchemy 2.0 cannot express: free space in each page, and
    # no index on stock, keep a change of it a heap-only update.
    __table_args__ = (
        CheckConstraint("price >= 0", name="price_not_negative"),
        CheckConstraint("stock >= 0", name="stock_not_negative"),
        Index("ix_products_category_id", "category", desc("id"), postgresql_where=text("is_active")),
    )


class StockChange(Base):
    """One change of a product's stock. The service's role may add rows and read them, nothing else.

    An order has at most one change of a reason for a product, so that no effect happens twice.
    """

    __tablename__ = "stock_log"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    product_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("products.id", ondelete="RESTRICT"))
    order_id: Mapped[uuid.UUID | None]
    change_amount: Mapped[int]
    balance_after: Mapped[int]
    reason: Mapped[str] = mapped_column(Text)
    actor_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

    __table_args__ = (
        CheckConstraint("change_amount <> 0", name="change_not_zero"),
        CheckConstraint("balance_after >= 0", name="balance_not_negative"),
        CheckConstraint("reason IN ('order', 'cancel', 'restock', 'adjust')", name="reason_known"),
        UniqueConstraint("order_id", "product_id", "reason", name="uq_stock_log_order_id_product_id_reason"),
        Index("ix_stock_log_product_id_id", "product_id", desc("id")),
        Index("ix_stock_log_actor_id", "actor_id"),
    )
