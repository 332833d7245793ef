"""Does the jobs of the table, one after another. Several workers share them: each takes what no other has."""

import logging
import signal
import threading
import time

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.config import settings
from app.core.db import SessionLocal
from app.models import Job, Note

log = logging.getLogger("notes.worker")
stopping = threading.Event()


def stop(*_: object) -> None:
    """What is at hand is finished, and nothing else is begun."""
    stopping.set()


def do(job: Job, session: Session) -> None:
    note = session.get_one(Note, job.note_id)
    time.sleep(settings.job_seconds)
    note.words = len(note.body.split())
    job.done_at = func.now()


def do_next() -> bool:
    """Does a job, in one transaction. False when there is none."""
    with SessionLocal.begin() as session:
        free = select(Job).where(Job.done_at.is_(None)).order_by(Job.id).limit(1)
        job = session.scalar(free.with_for_update(skip_locked=True))
        if job is None:
            return False
        do(job, session)
    log.info("job %s done", job.id)
    return True


def work() -> None:
    while not stopping.is_set():
        if not do_next():
            stopping.wait(settings.worker_pause_seconds)


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    log.info("working")
    work()
    log.info("stopped")
