from typing import Annotated

from fastapi import Depends, HTTPException
from sqlalchemy.orm import Session

from app.core.db import get_session
from app.models import Note

SessionDep = Annotated[Session, Depends(get_session)]


def get_note(note_id: int, session: SessionDep) -> Note:
    note = session.get(Note, note_id)
    if note is None:
        raise HTTPException(status_code=404, detail="There is no such note")
    return note


NoteDep = Annotated[Note, Depends(get_note)]
