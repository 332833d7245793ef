"""The users table."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, DateTime, Index, String, Text, desc, func, text
from sqlalchemy.orm import Mapped, mapped_column

from shop.core.database import Base


class User(Base):
    """One person or program that may log in. A raised `token_version` ends every token issued before."""

    __tablename__ = "users"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(Text)
    # Not loaded with a user: who needs it asks for it.
    hashed_password: Mapped[str] = mapped_column(Text, deferred=True, deferred_raiseload=True)
    name: Mapped[str] = mapped_column(String(50))
    avatar: Mapped[str | None] = mapped_column(Text)
    plan: Mapped[str] = mapped_column(Text, server_default=text("'free'"))
    role: Mapped[str] = mapped_column(Text, server_default=text("'user'"))
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    token_version: Mapped[int] = mapped_column(server_default=text("1"))
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), onupdate=func.now()
    )

    # Each change raises the version, and reads back what the database set.
    __mapper_args__ = {"version_id_col": version, "eager_defaults": True}  # noqa: RUF012 - SQLAlchemy reads a plain dict
    __table_args__ = (
        CheckConstraint("char_length(name) >= 1", name="name_not_empty"),
        CheckConstraint("avatar ~ '^https?://'", name="avatar_is_an_address"),
        CheckConstraint("plan IN ('free', 'pro')", name="plan_known"),
        CheckConstraint("role IN ('user', 'admin')", name="role_known"),
        Index("uq_users_email", func.lower(text("email")), unique=True),
        Index("ix_users_created_at_id", desc("created_at"), desc("id")),
    )
