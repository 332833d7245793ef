"""Services of other shapes, which know nothing of Slipway: each is deployed, watched and rolled back as the shop is."""

from __future__ import annotations

import base64
import http.client
import json
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import ROOT, Playbooks
from tests.e2e.conftest import boot, site_of
from tests.e2e.fab_runs import Fab, again, release_of
from tests.e2e.web import PATIENCE, Site
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(1200)]

RATE = 40.0


@dataclass
class Example:
    """An inventory's service on its one host."""

    app: str
    lab: Lab
    site: Site
    fab: Fab

    @property
    def host(self) -> Host:
        return next(iter(self.lab.hosts.values()))

    def live(self) -> str:
        return hosts.output(self.host, f"basename $(readlink /srv/{self.app}/current)")

    def bundle(self) -> Path:
        """Of the live release, as the first run built it."""
        return ROOT / f"build/bundles/{self.app}-{self.live()}.tar"

    def workers(self) -> list[str]:
        """The processes that run, as release:name."""
        listed = hosts.output(
            self.host,
            f"systemctl list-units --plain --no-legend '{self.app}-process@*' --state=active | cut -d' ' -f1",
        )
        return [unit.partition("@")[2].removesuffix(".service") for unit in listed.split()]

    def sql(self, statement: str) -> str:
        return hosts.sql(self.host, statement, database=self.app)


@dataclass
class Writing:
    """Use as a context: notes are written one after the other over a kept connection; nothing is tried again."""

    site: Site
    statuses: list[int] = field(default_factory=list)
    releases: set[str] = field(default_factory=set)
    losses: list[str] = field(default_factory=list)

    def __enter__(self) -> Writing:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _write(self) -> None:
        context = self.site.context()
        connection = http.client.HTTPSConnection(self.site.address, timeout=PATIENCE, context=context)
        headers, body = {"Content-Type": "application/json"}, json.dumps({"title": "load", "body": "a b c"})
        while not self._ended.wait(1 / RATE):
            try:
                connection.request("POST", "/api/notes", body, headers)
                said = connection.getresponse()
                said.read()
            except (OSError, http.client.HTTPException) as failure:
                self.losses.append(repr(failure))
                connection.close()
            else:
                self.statuses.append(said.status)
                self.releases.add(str(said.headers["X-Release"]))
        connection.close()


class WebSocket:
    """A connection to the site that the service has taken as a WebSocket (RFC 6455); texts below 64 KiB."""

    def __init__(self, site: Site, path: str) -> None:
        self.stream = site.handshake(site.context())
        key = base64.b64encode(os.urandom(16)).decode()
        self.stream.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {site.address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.answer = b""
        while b"\r\n\r\n" not in self.answer:
            self.answer += self._read(1)

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = self.stream.recv(count - len(data))
            assert chunk, f"the connection ended\n{data!r}"
            data += chunk
        return data

    def receive(self) -> Any:
        """The next text, read as JSON."""
        while True:
            kind, length = self._read(2)
            if length == 126:
                length = int.from_bytes(self._read(2), "big")
            content = self._read(length)
            if kind & 15 == 1:
                return json.loads(content)


def serving(app: str, inventory: str, health: str) -> Iterator[Example]:
    """The service on a host that was bare."""
    for lab in boot(f"SLIPWAY_E2E_{app.upper()}", inventory):
        example = Example(app, lab, site_of(lab), Fab(lab.site.inventory.name))
        try:
            Playbooks(lab.site.inventory).run("site.yml").succeeded()
            hosts.until(f"{app} serves", partial(answers, example.site, health), seconds=60)
        except BaseException:
            # Nobody comes back to it: no test has begun.
            lab.down()
            raise
        yield example


def answers(site: Site, path: str) -> bool:
    return site.get(path).status == 200


@pytest.fixture(scope="module")
def notes() -> Iterator[Example]:
    yield from serving("notes", "inventory/notes", "/api/health")


def with_service(bundle: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The same code as another release whose service says something else of itself."""

    def changed(member: tarfile.TarInfo, content: bytes) -> bytes:
        if member.name != "manifest.json":
            return content
        manifest = json.loads(content)
        change(manifest["service"])
        return json.dumps(manifest).encode()

    return again(bundle, changed)


def write(example: Example, title: str) -> int:
    body = json.dumps({"title": title, "body": "one two three"}).encode()
    said = example.site.request("POST", "/api/notes", {"Content-Type": "application/json"}, body)
    assert said.status == 201, said
    return int(said.json()["id"])


def test_the_worker_the_timer_and_the_websocket_of_notes_work(notes: Example) -> None:
    live = notes.live()
    assert notes.site.get("/api/health").headers["X-Release"] == live
    assert notes.workers() == [f"{live}:worker"]
    websocket = WebSocket(notes.site, "/api/live")
    assert websocket.answer.startswith(b"HTTP/1.1 101 "), websocket.answer
    websocket.receive()

    number = write(notes, "Milk")

    assert websocket.receive()["id"] == number
    hosts.until(
        "the worker counts",
        lambda: notes.site.get(f"/api/notes/{number}").json()["words"] == 3,
        seconds=30,
    )
    listed = hosts.output(notes.host, "systemctl list-timers --no-legend 'notes-task@*'")
    assert "notes-task@digest.timer" in listed
    hosts.output(notes.host, "systemctl start notes-task@digest.service")
    assert notes.sql("SELECT count(*) FROM notes.digest") == "1"


def test_nginx_serves_the_files_of_the_live_release(notes: Example) -> None:
    said = notes.site.get("/static/notes.css")
    assert (said.status, said.headers["Content-Type"]) == (200, "text/css")
    assert said.body == (ROOT / "examples/notes/app/static/notes.css").read_bytes()
    assert notes.site.get("/static/none.css").headers["X-Release"] == notes.live()


def test_a_new_release_and_the_way_back_lose_nothing_and_bring_their_own_worker(notes: Example) -> None:
    before, bundle = notes.live(), again(notes.bundle())
    new = release_of(bundle)
    with Writing(notes.site) as writing:
        notes.fab.deploy(bundle, bake=3).ended(0, f"{new} is live on every app host", "lost=0")
        assert notes.workers() == [f"{new}:worker"]
        notes.fab.run("rollback").ended(0, f"{before} is live on every app host", "lost=0")
        assert notes.workers() == [f"{before}:worker"]
    assert writing.losses == []
    assert set(writing.statuses) == {201}
    assert writing.releases == {before, new}
    hosts.until(
        "the worker has done what there was",
        lambda: notes.sql("SELECT count(*) FROM notes.job WHERE done_at IS NULL") == "0",
        seconds=60,
    )


def test_a_release_whose_worker_does_not_stay_up_is_taken_back(notes: Example) -> None:
    before = notes.live()
    bundle = with_service(notes.bundle(), lambda said: said["processes"].update(worker="notes-digest"))

    # What takes longer to import than the switch looks at it is found while the release bakes.
    notes.fab.deploy(bundle, bake=10).ended(3, ":worker.service ended (", "is marked bad", "new notes")

    assert notes.live() == before
    assert notes.workers() == [f"{before}:worker"]


def test_a_timer_that_the_live_release_does_not_declare_is_gone(notes: Example) -> None:
    before = notes.live()
    bundle = with_service(notes.bundle(), lambda said: said.pop("timers"))
    notes.fab.deploy(bundle).ended(0)
    assert hosts.output(notes.host, "systemctl list-timers --all --no-legend 'notes-task@*'") == ""
    notes.fab.run("rollback", f"--to={before}").ended(0)
    assert "notes-task@digest.timer" in hosts.output(
        notes.host, "systemctl list-timers --no-legend 'notes-task@*'"
    )


def test_a_worker_that_is_killed_comes_back_and_so_does_all_after_a_boot(notes: Example) -> None:
    live = notes.live()
    hosts.output(notes.host, f"systemctl kill --signal=KILL 'notes-process@{live}:worker.service'")
    hosts.until("systemd starts it again", lambda: notes.workers() == [f"{live}:worker"], seconds=30)
    notes.host.reboot()
    hosts.until("it serves again", lambda: notes.site.get("/api/health").status == 200, seconds=90)
    hosts.until("and works", lambda: notes.workers() == [f"{live}:worker"], seconds=30)


def test_what_is_asked_of_the_shops_database_is_answered_of_any(notes: Example) -> None:
    notes.fab.run("migrate-plan", f"--bundle={again(notes.bundle())}").ended(0)
    made = json.loads(notes.fab.run("db-backup", "--json").ended(0).output)
    assert made["tables"]["notes.note"] == int(notes.sql("SELECT count(*) FROM notes.note"))
    status = notes.fab.run("db-status")
    assert "is a primary of PostgreSQL 14." in status.output, status


@pytest.fixture(scope="module")
def hello() -> Iterator[Example]:
    yield from serving("hello", "inventory/hello", "/health")


def test_one_file_without_a_database_is_deployed_and_rolled_back(
    hello: Example,
) -> None:
    before, bundle = hello.live(), again(hello.bundle())
    new = release_of(bundle)
    python = hosts.output(
        hello.host, "/srv/hello/current/venv/bin/python -c 'import sys; print(sys.version_info[:2])'"
    )
    assert python == "(3, 11)"
    assert hello.site.get("/?name=Ada").json() == {"message": "Hello, Ada!"}
    hello.fab.deploy(bundle, bake=1).ended(0, f"{new} is live on every app host", "lost=0")
    assert hello.site.get("/").headers["X-Release"] == new
    hello.fab.run("rollback").ended(0, f"{before} is live on every app host", "lost=0")
    assert hello.site.get("/").headers["X-Release"] == before
