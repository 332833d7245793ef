"""The accounts and account_members tables."""

import uuid
from datetime import datetime

from sqlalchemy import CHAR, CheckConstraint, DateTime, ForeignKey, Index, String, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shop.core.database import Base


class Account(Base):
    """Who orders and pays. Its owner is also its first member."""

    __tablename__ = "accounts"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    name: Mapped[str] = mapped_column(String(100))
    currency: Mapped[str] = mapped_column(CHAR(3), server_default=text("'EUR'"))
    status: Mapped[str] = mapped_column(Text, server_default=text("'active'"))
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), onupdate=func.now()
    )

    # What is not loaded with the account is asked for by name: nothing reaches for the database on its own.
    members: Mapped[list["AccountMember"]] = relationship(lazy="raise")

    # Each change raises the version, and reads back what the database set.
    __mapper_args__ = {"version_id_col": version, "eager_defaults": True}  # noqa: RUF012 - SQLAlchemy reads a plain dict
    __table_args__ = (
        CheckConstraint("char_length(name) >= 1", name="name_not_empty"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_is_a_code"),
        CheckConstraint("status IN ('active', 'suspended', 'closed')", name="status_known"),
        Index("ix_accounts_owner_id_id", "owner_id", "id"),
    )


class AccountMember(Base):
    """A user who may see an account and order for it."""

    __tablename__ = "account_members"

    account_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(Text, server_default=text("'member'"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

    __table_args__ = (
        CheckConstraint("role IN ('owner', 'member')", name="role_known"),
        Index("ix_account_members_user_id_account_id", "user_id", "account_id"),
    )
