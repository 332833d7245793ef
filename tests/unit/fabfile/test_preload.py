"""`preload`: an application is imported once, and uvicorn's workers are forks of it, as good as spawned ones."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fabfile.bundle import archive
from fabfile.bundle.host_rules import Declaration, starting
from fabfile.contract import release as releases
from fabfile.contract import running
from fabfile.contract.release import Release
from tests.unit.fabfile.plain_service import Service

SECONDS = 60.0
# What it does while it is imported, a variable says.
APPLICATION = """\
import asyncio, atexit, json, logging, os, random, signal, socket, sys, threading

IMPORTED_BY, LOG, AT_IMPORT = os.getpid(), logging.getLogger("notes"), os.environ.get("AT_IMPORT")
KEPT = None
if AT_IMPORT == "thread":
    threading.Thread(target=threading.Event().wait, daemon=True).start()
elif AT_IMPORT == "socket":
    KEPT = socket.socket()
elif AT_IMPORT == "file":
    KEPT = open(os.devnull)
elif AT_IMPORT == "loop":
    KEPT = asyncio.new_event_loop()
elif AT_IMPORT == "failure":
    raise RuntimeError("nothing to import it for")
elif AT_IMPORT == "signal":
    signal.signal(signal.SIGUSR1, lambda *_: os._exit(7))
atexit.register(lambda: print("goodbye of", os.getpid(), file=sys.stderr, flush=True))


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            if AT_IMPORT == "nothing to start with":
                await send({"type": "lifespan.startup.failed"})
                return
            await send({"type": f"lifespan.{step}.complete"})
        return
    LOG.warning("asked")
    said = {"pid": os.getpid(), "imported_by": IMPORTED_BY, "random": random.random(), "logs": not LOG.disabled}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(said).encode()})
"""
# As somebody would write it who does not know that it silences what is there.
LOGGING = {
    "version": 1,
    "handlers": {"all": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["all"]},
}


@dataclass
class Running:
    process: subprocess.Popen[bytes]
    release: Release

    def said(self) -> dict[str, Any]:
        connection = running.Connection(self.release.socket)
        try:
            return dict(json.loads(connection.asked("/").body))
        finally:
            connection.close()

    def workers(self, count: int = 2, other_than: frozenset[int] = frozenset()) -> dict[int, dict[str, Any]]:
        """What each of them says first, by its pid."""
        found: dict[int, dict[str, Any]] = {}
        deadline = time.monotonic() + SECONDS
        while len(found) < count:
            assert time.monotonic() < deadline, f"{found}\n{self.log()}"
            assert self.process.poll() is None, self.log()
            try:
                said = self.said()
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
                continue
            if said["pid"] not in other_than:
                found.setdefault(said["pid"], said)
        return found

    def log(self) -> str:
        return (self.release.folder / "log").read_text("utf-8")

    def ended(self) -> int:
        return self.process.wait(SECONDS)


@pytest.fixture(scope="module")
def made() -> Iterator[Release]:
    """The service installed, with uvicorn."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        service = Service(scratch / "source")
        service.write("notes/__init__.py", APPLICATION)
        interpreter, version = releases.python(releases.WANTED)
        tree = releases.copied(service.folder, scratch)
        found = releases.made(
            service.folder, tree, scratch, interpreter, version, archive.PROJECT / "build/wheelhouse"
        )
        (found.folder / "venv/share").mkdir()
        (found.folder / "venv/share/logging.json").write_text(json.dumps(LOGGING), "utf-8")
        yield found


class Starter:
    """Starts the service as it declares itself, and ends it with the test."""

    def __init__(self, made: Release) -> None:
        self.made, self.started = made, list[Running]()

    def __call__(self, at_import: str = "", workers: int = 2, **says: Any) -> Running:
        said = Declaration.of("notes", {"application": "notes:app", "preload": True, **says})
        text = starting.program("notes", self.made.folder / "venv", self.made.socket, releases.NAME, said)
        self.made.start.write_text(text, "utf-8")
        environment = {
            **running.environ(self.made, {}, None),
            "AT_IMPORT": at_import,
            "WEB_CONCURRENCY": str(workers),
            "NOTIFY_SOCKET": str(self.made.folder / "notify"),
        }
        with (self.made.folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [str(self.made.start)], env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self.started.append(Running(process, replace(self.made, said=said)))
        return self.started[-1]


@pytest.fixture
def start(made: Release) -> Iterator[Starter]:
    starter = Starter(made)
    notify = made.folder / "notify"
    notify.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(notify))
        yield starter
        for each in starter.started:
            with suppress(ProcessLookupError):
                os.killpg(each.process.pid, signal.SIGKILL)
            each.process.wait()
    made.socket.unlink(missing_ok=True)


def test_it_is_imported_once_for_all_workers(start: Starter) -> None:
    service = start()

    found = service.workers()

    assert {said["imported_by"] for said in found.values()} == {service.process.pid}
    assert service.process.pid not in found
    assert len({said["random"] for said in found.values()}) == 2, "chance is each worker's own"


def test_without_it_each_worker_imports_it(start: Starter) -> None:
    found = start(preload=False).workers()

    assert {pid: said["imported_by"] for pid, said in found.items()} == {pid: pid for pid in found}


def test_one_worker_is_the_process_itself(start: Starter) -> None:
    service = start(workers=1)

    assert service.workers(1)[service.process.pid]["imported_by"] == service.process.pid


@pytest.mark.parametrize(
    ("at_import", "left"), [("thread", "a thread"), ("socket", "socket:"), ("file", "/dev/null")]
)
def test_what_no_two_processes_may_share_is_found_and_each_worker_imports_it(
    start: Starter, at_import: str, left: str
) -> None:
    service = start(at_import)

    found = service.workers()

    assert {pid: said["imported_by"] for pid, said in found.items()} == {pid: pid for pid in found}
    assert "The import of notes:app left " in service.log()
    assert left in service.log()
    assert "each worker imports it by itself" in service.log()
    service.process.terminate()
    service.ended()


def test_an_event_loop_is_nothing_to_be_shared_either(start: Starter) -> None:
    service = start("loop")

    service.workers()

    assert "anon_inode:[eventpoll]" in service.log()


def test_a_worker_that_dies_is_another_fork(start: Starter) -> None:
    service = start()
    before = frozenset(service.workers())

    for pid in before:
        os.kill(pid, signal.SIGKILL)

    after = service.workers(2, other_than=before)
    assert {said["imported_by"] for said in after.values()} == {service.process.pid}


def test_workers_end_with_the_service(start: Starter) -> None:
    service = start()
    found = service.workers()

    service.process.terminate()
    service.ended()

    assert [pid for pid in found if Path(f"/proc/{pid}").exists()] == []


def test_a_worker_that_ends_by_itself_does_what_it_does_at_its_end(start: Starter) -> None:
    service = start("nothing to start with")
    deadline = time.monotonic() + SECONDS

    while not (ended := re.findall("goodbye of ([0-9]+)", service.log())):
        assert time.monotonic() < deadline, service.log()
        time.sleep(0.02)

    assert str(service.process.pid) not in ended


@pytest.mark.parametrize("number", range(6))
def test_one_that_is_ended_while_it_starts_ends(start: Starter, number: int) -> None:
    service = start()
    deadline = time.monotonic() + SECONDS
    # From the first moment in which it has a worker on.
    while not (children := service_children(service.process.pid)) and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.01 * number)

    for pid in [*children, service.process.pid]:
        os.kill(pid, signal.SIGTERM)

    service.ended()


def service_children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_worker_has_the_applications_signals_and_not_its_parents(start: Starter) -> None:
    service = start("signal")
    first, _ = service.workers()

    os.kill(first, signal.SIGUSR1)

    service.workers(2, other_than=frozenset({first}))


def test_its_loggers_are_heard_whatever_the_configuration_does_to_loggers_that_are_there(
    start: Starter,
) -> None:
    found = start(log_config="share/logging.json").workers()

    assert all(said["logs"] for said in found.values()), "as where each worker imports it"


def test_one_that_cannot_be_imported_is_not_started(start: Starter) -> None:
    service = start("failure")

    assert service.ended() == 1
    assert "RuntimeError: nothing to import it for" in service.log()


def test_a_check_that_fails_says_it_better_than_an_import_that_does(start: Starter) -> None:
    service = start("failure", check=["python", "-c", "raise SystemExit(78)"])

    assert service.ended() == 78
    assert f"The check of release {releases.NAME} ended with 78; nothing was started." in service.log()
    assert "RuntimeError" not in service.log()
