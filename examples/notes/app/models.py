from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import ForeignKey, Text, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import DateTime


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: DateTime(timezone=True), str: Text}


class Note(Base):
    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    body: Mapped[str] = mapped_column(server_default="")
    # Counted by the worker.
    words: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class Job(Base):
    """Something to do about a note, once."""

    __tablename__ = "job"

    id: Mapped[int] = mapped_column(primary_key=True)
    note_id: Mapped[int] = mapped_column(ForeignKey("note.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    done_at: Mapped[datetime | None] = mapped_column(index=True)


class Digest(Base):
    """How many notes were written until then, since the digest before."""

    __tablename__ = "digest"

    id: Mapped[int] = mapped_column(primary_key=True)
    notes: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
