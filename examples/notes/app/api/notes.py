from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, status
from sqlalchemy import select

from app.api.deps import NoteDep, SessionDep
from app.models import Job, Note
from app.schemas import NoteIn, NoteOut, NoteUpdate

router = APIRouter(prefix="/notes", tags=["notes"])


@router.get("", response_model=list[NoteOut])
def read_notes(
    session: SessionDep, skip: int = 0, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> Sequence[Note]:
    return session.scalars(select(Note).order_by(Note.id.desc()).offset(skip).limit(limit)).all()


@router.post("", response_model=NoteOut, status_code=status.HTTP_201_CREATED)
def create_note(note_in: NoteIn, session: SessionDep) -> Note:
    note = Note(**note_in.model_dump())
    session.add(note)
    session.flush()
    session.add(Job(note_id=note.id))
    session.commit()
    return note


@router.get("/{note_id}", response_model=NoteOut)
def read_note(note: NoteDep) -> Note:
    return note


@router.patch("/{note_id}", response_model=NoteOut)
def update_note(note: NoteDep, note_in: NoteUpdate, session: SessionDep) -> Note:
    for name, value in note_in.model_dump(exclude_none=True).items():
        setattr(note, name, value)
    session.add(Job(note_id=note.id))
    session.commit()
    session.refresh(note)
    return note


@router.delete("/{note_id}", status_code=status.HTTP_204_NO_CONTENT)
def delete_note(note: NoteDep, session: SessionDep) -> None:
    session.delete(note)
    session.commit()
