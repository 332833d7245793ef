"""Services of other shapes, which know nothing of Slipway: each is deployed, watched and rolled back as the shop is."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import ROOT
from tests.e2e.example import Example, WebSocket, Writing, serving, write
from tests.e2e.fab_runs import again, release_of

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def notes() -> Iterator[Example]:
    yield from serving("notes", "SLIPWAY_E2E_NOTES", "inventory/notes", "/api/health")


def with_service(bundle: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The same code as another release whose service says something else of itself."""

    def changed(member: tarfile.TarInfo, content: bytes) -> bytes:
        if member.name != "manifest.json":
            return content
        manifest = json.loads(content)
        change(manifest["service"])
        return json.dumps(manifest).encode()

    return again(bundle, changed)


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


def test_a_service_has_the_packages_the_folder_and_the_network_that_its_inventory_gives(
    notes: Example,
) -> None:
    """Whether the kernel keeps to the addresses cannot be tried here: a lab's host may not load such a filter."""
    unit = f"notes@{notes.live()}.service"
    process = hosts.output(notes.host, f"systemctl show --property=MainPID --value '{unit}'")
    as_the_service = f"nsenter --target={process} --mount setpriv --reuid=notes --regid=notes --clear-groups"

    hosts.output(notes.host, f"{as_the_service} sh -c 'echo {{}} | jq . >/var/lib/notes/kept'")
    refused = hosts.refused(notes.host, f"nsenter --target={process} --mount touch /var/lib/other")
    notes.fab.deploy(again(notes.bundle()), bake=1).ended(0)

    assert "Read-only file system" in refused
    assert hosts.output(notes.host, "cat /var/lib/notes/kept") == "{}"
    shown = hosts.output(notes.host, f"systemctl show --property=IPAddressAllow,PrivateNetwork '{unit}'")
    assert set(shown.splitlines()) == {"PrivateNetwork=no", "IPAddressAllow=10.83.7.1/32"}


def test_a_body_may_be_larger_where_the_inventory_says_so(notes: Example) -> None:
    headers, body = {"Content-Type": "application/json"}, b'{"title": "' + b"x" * 1_500_000 + b'"}'

    # The service's own limits are its own: what it makes of so long a title is a 4xx of its own.
    taken = notes.site.request("POST", "/api/notes", headers, body)

    assert taken.headers["X-Release"] == notes.live(), taken
    assert taken.status != 413, taken
    assert notes.site.request("POST", "/api/health", headers, body).status == 413
    assert notes.site.request("POST", "/api/notes", headers, body * 2).status == 413


@pytest.fixture(scope="module")
def hello() -> Iterator[Example]:
    yield from serving("hello", "SLIPWAY_E2E_HELLO", "inventory/hello", "/health")


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
