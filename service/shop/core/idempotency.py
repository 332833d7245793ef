"""Idempotency keys: a request sent twice has its effect once, because the key is kept with the effect."""

import hashlib
import uuid
from datetime import datetime
from typing import Annotated, Any

import orjson
from fastapi import Header
from sqlalchemy import DateTime, Index, LargeBinary, SmallInteger, String, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from shop.core.database import Base


class IdempotencyKey(Base):
    """The answer to the first request with this key: what a repetition is answered with."""

    __tablename__ = "idempotency_keys"

    account_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    request_hash: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int] = mapped_column(SmallInteger)
    body: Mapped[Any] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

    __table_args__ = (Index("ix_idempotency_keys_created_at", "created_at"),)


# A repetition is answered for a day.
PURGED = {"idempotency_keys": "created_at < now() - interval '24 hours'"}

KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=64,
        pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$",
        description="any name of your own for this request, new for each one and the same when you repeat it",
    ),
]


def request_hash(path: str, content: object) -> bytes:
    """What tells a repetition from another request under the same key: SHA-256 of the path and the content.

    `content` is anything orjson writes; its order must not depend on how the client put it.
    """
    return hashlib.sha256(orjson.dumps([path, content], option=orjson.OPT_SORT_KEYS)).digest()
