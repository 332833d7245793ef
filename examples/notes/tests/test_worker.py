import os
import signal
import subprocess
import sys
import time

import pytest
from sqlalchemy import func, select

WORKER = [sys.executable, "-c", "from app.worker import main; main()"]


def write(*bodies: str) -> list[int]:
    """Notes with a job each; their ids."""
    from app.core.db import SessionLocal
    from app.models import Job, Note

    with SessionLocal.begin() as session:
        notes = [Note(title="note", body=body) for body in bodies]
        session.add_all(notes)
        session.flush()
        session.add_all(Job(note_id=note.id) for note in notes)
        return [note.id for note in notes]


def words(ids: list[int]) -> list[int | None]:
    from app.core.db import SessionLocal
    from app.models import Note

    with SessionLocal() as session:
        return [session.get_one(Note, number).words for number in ids]


def free_jobs() -> int:
    """How many no worker has at hand."""
    from app.core.db import SessionLocal
    from app.models import Job

    with SessionLocal() as session:
        return len(session.scalars(select(Job).with_for_update(skip_locked=True)).all())


@pytest.fixture(autouse=True)
def no_jobs() -> None:
    from app.core.db import SessionLocal
    from app.models import Job

    with SessionLocal.begin() as session:
        for job in session.scalars(select(Job)):
            session.delete(job)


def test_a_job_is_done_once(no_jobs: None) -> None:
    from app.worker import do_next

    ids = write("one two three")
    assert do_next() is True
    assert words(ids) == [3]
    assert do_next() is False


def test_a_job_that_another_worker_has_is_left_to_it() -> None:
    from app.core.db import SessionLocal
    from app.models import Job
    from app.worker import do_next

    ids = write("a", "b c")
    with SessionLocal.begin() as other:
        other.scalars(select(Job).order_by(Job.id).limit(1).with_for_update()).one()
        assert do_next() is True
        assert do_next() is False
    assert words(ids) == [None, 2]


def test_told_to_end_it_finishes_the_job_at_hand_and_begins_no_other() -> None:
    ids = write("a b", "c")
    environment = {**os.environ, "JOB_SECONDS": "3"}
    worker = subprocess.Popen(WORKER, env=environment, stderr=subprocess.PIPE, text=True)
    assert worker.stderr is not None
    assert "working" in worker.stderr.readline()
    while free_jobs() == 2:
        time.sleep(0.05)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=20) == 0
    assert words(ids) == [2, None]


def test_a_digest_counts_each_note_once() -> None:
    from app.core.db import SessionLocal
    from app.digest import digest
    from app.models import Digest

    digest()
    write("a", "b")
    assert digest() == 2
    assert digest() == 0
    with SessionLocal() as session:
        assert session.scalar(select(func.count()).select_from(Digest)) == 3
