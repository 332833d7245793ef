"""New notes as they come, over a WebSocket."""

import asyncio

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import func, select

from app.core.db import SessionLocal
from app.models import Note
from app.schemas import NoteOut

router = APIRouter()
PAUSE_SECONDS = 0.5


def _newest() -> int:
    with SessionLocal() as session:
        return session.scalar(select(func.max(Note.id))) or 0


def _notes_after(newest: int) -> list[NoteOut]:
    with SessionLocal() as session:
        found = session.scalars(select(Note).where(Note.id > newest).order_by(Note.id))
        return [NoteOut.model_validate(note) for note in found]


@router.websocket("/live")
async def live(websocket: WebSocket) -> None:
    await websocket.accept()
    newest = await run_in_threadpool(_newest)
    await websocket.send_json({"newest": newest})
    try:
        while True:
            for note in await run_in_threadpool(_notes_after, newest):
                await websocket.send_text(note.model_dump_json())
                newest = note.id
            await asyncio.sleep(PAUSE_SECONDS)
    except WebSocketDisconnect:
        return
