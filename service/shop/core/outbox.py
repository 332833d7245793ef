"""The outbox: what others are to be told, written in the transaction that made it true."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    Identity,
    Index,
    Row,
    Text,
    bindparam,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import Mapped, mapped_column

from shop.core.database import Base


class OutboxMessage(Base):
    """One message; `sent_at` is null until a sender has delivered it."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    topic: Mapped[str] = mapped_column(Text)
    payload: Mapped[Any] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    sent_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    __table_args__ = (Index("ix_outbox_unsent", "id", postgresql_where=text("sent_at IS NULL")),)


_TAKE = (
    select(OutboxMessage.id, OutboxMessage.topic, OutboxMessage.payload)
    .where(OutboxMessage.sent_at.is_(None))
    .order_by(OutboxMessage.id)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_MARK_SENT = (
    update(OutboxMessage)
    .where(OutboxMessage.id == func.any(bindparam("ids", type_=ARRAY(BigInteger))))
    .values(sent_at=func.clock_timestamp())
)


async def take_batch(connection: AsyncConnection, limit: int) -> Sequence[Row[Any]]:
    """At most `limit` unsent messages (`id`, `topic`, `payload`), oldest first, for this transaction alone.

    Senders at work at the same time take different messages: SKIP LOCKED is right here, where any message
    will do, and nowhere else. Deliver them, `mark_sent`, commit. A sender that dies in between leaves them to
    the next one, so a message is delivered at least once.
    """
    return (await connection.execute(_TAKE, {"limit": limit})).all()


async def mark_sent(connection: AsyncConnection, ids: Sequence[int]) -> None:
    """Record that these messages are delivered; in the transaction that took them."""
    await connection.execute(_MARK_SENT, {"ids": list(ids)})
