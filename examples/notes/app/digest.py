"""Writes down how many notes there are since the last time."""

import logging

from sqlalchemy import func, select

from app.core.db import SessionLocal
from app.models import Digest, Note

log = logging.getLogger("notes.digest")


def digest() -> int:
    """Returns the number of notes that no digest has counted before."""
    with SessionLocal.begin() as session:
        counted = session.scalar(select(func.coalesce(func.sum(Digest.notes), 0))) or 0
        # Ids grow: those of deleted notes were counted, or are not to be.
        newest = session.scalar(select(func.coalesce(func.max(Note.id), 0))) or 0
        written = max(0, newest - counted)
        session.add(Digest(notes=written))
    return written


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    log.info("%s new notes", digest())
