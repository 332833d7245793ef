"""The table `backfills`: how far each backfill is, and what is said to the server about it."""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, Integer, Text, false, func, text
from sqlalchemy.orm import Mapped, mapped_column

from shop.core.database import Base

PROGRESS = text("SELECT rows_done, passes, paused FROM backfills WHERE name = :name")
# Two numbers, so that it is never the migrator's: "bf" in ASCII, and the name's.
KEY = "25190, hashtext(CAST(:name AS text))"
LOCK = text(f"SELECT pg_try_advisory_lock({KEY})")
UNLOCK = text(f"SELECT pg_advisory_unlock({KEY})")
BEGUN = text("INSERT INTO backfills (name) VALUES (:name) ON CONFLICT DO NOTHING")
PAUSED = text(
    "INSERT INTO backfills (name, paused) VALUES (:name, :paused) "
    "ON CONFLICT (name) DO UPDATE SET paused = :paused"
)
ROWS = """
    SELECT name, position, passes, rows_done, batches_done, paused, started_at, updated_at, finished_at,
      EXISTS (SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND classid = 25190 AND objsubid = 2 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND objid::bigint = (hashtext(name)::bigint & 4294967295)) AS running
    FROM backfills
"""
STATUS = text(ROWS + "WHERE name = :name")
ALL = text(ROWS + "ORDER BY name")


class BackfillProgress(Base):
    """How far a backfill is. position: the last key that is done, as text; null before a pass."""

    __tablename__ = "backfills"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    position: Mapped[str | None] = mapped_column(Text)
    passes: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    rows_done: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    batches_done: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    paused: Mapped[bool] = mapped_column(server_default=false())
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
