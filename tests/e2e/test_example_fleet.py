"""A service with a worker, a timer and WebSockets on two app hosts behind an edge, as docs/service-contract.md says."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
import yaml

from tests.e2e import hosts
from tests.e2e.ansible_runs import ROOT
from tests.e2e.example import Example, WebSocket, Writing, serving, write
from tests.e2e.fab_runs import again, release_of

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(1200)]

NAME = "test-notes-fleet"
# Who had the WebSockets, by the edge's own log.
TAKEN_BY = (
    'grep -F \'"uri":"/api/live"\' /var/log/nginx/access.log | grep -F \'"status":101,\' '
    '| grep -o \'"upstream":"[^"]*\' | sort -u'
)


def inventory() -> Path:
    """The fleet's hosts, with the service that inventory/notes has on one; the logs go to the database's host."""
    folder = ROOT / "inventory" / NAME
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "inventory/notes", folder)
    text = (ROOT / "inventory/fleet/hosts.yml").read_text("utf-8")
    # Of its own, so that it runs beside the fleet.
    said = yaml.safe_load(re.sub(r"10\.83\.7\.(\d+)", lambda found: f"10.83.7.{int(found[1]) + 150}", text))
    said["logs"] = {"hosts": dict.fromkeys(said["db"]["hosts"])}
    (folder / "hosts.yml").write_text(yaml.safe_dump(said, sort_keys=False), "utf-8")
    return folder


@pytest.fixture(scope="module")
def notes() -> Iterator[Example]:
    folder = inventory()
    try:
        yield from serving("notes", "SLIPWAY_E2E_NOTES_FLEET", f"inventory/{NAME}", "/api/health")
    finally:
        shutil.rmtree(folder)


def test_websockets_through_the_edge_are_every_hosts_and_hear_of_every_note(notes: Example) -> None:
    opened = [WebSocket(notes.site, "/api/live") for _ in range(4)]
    for websocket in opened:
        assert websocket.answer.startswith(b"HTTP/1.1 101 "), websocket.answer
        websocket.receive()

    number = write(notes, "Milk")

    assert [websocket.receive()["id"] for websocket in opened] == [number] * 4
    for websocket in opened:
        websocket.stream.close()
    edge = notes.lab.host(notes.lab.groups["edge"][0])
    hosts.until(
        "each app host had one",
        lambda: len(hosts.output(edge, TAKEN_BY).splitlines()) == len(notes.app_hosts) == 2,
        seconds=60,
    )


def test_every_host_has_the_worker_and_what_is_to_be_done_is_done_once(notes: Example) -> None:
    live = notes.live()
    assert [notes.workers(host) for host in notes.app_hosts] == [[f"{live}:worker"]] * 2

    for number in range(10):
        write(notes, f"Bread {number}")

    hosts.until(
        "they have done it",
        lambda: notes.sql("SELECT count(*) FROM notes.job WHERE done_at IS NULL") == "0",
        seconds=60,
    )
    count = "journalctl --unit='notes-process@*' --output=cat | grep -Eo 'job [0-9]+ done'"
    done = [line for host in notes.app_hosts for line in hosts.output(host, count).splitlines()]
    assert sorted(done) == sorted(set(done)), "a job was done twice"
    assert len(done) == int(notes.sql("SELECT count(*) FROM notes.job"))


def test_what_a_timer_runs_runs_on_the_first_host_alone(notes: Example) -> None:
    before = int(notes.sql("SELECT count(*) FROM notes.digest"))

    for host in notes.app_hosts:
        # As at night, when the calendars of all hosts say so at once.
        hosts.output(host, "systemctl start notes-task@digest.service")

    assert int(notes.sql("SELECT count(*) FROM notes.digest")) == before + 1
    ran = "systemctl show --property=ConditionResult --value notes-task@digest.service"
    assert [hosts.output(host, ran) for host in notes.app_hosts] == ["yes", "no"]


def listen(websocket: WebSocket, ended: Event, heard: list[int]) -> None:
    while not ended.is_set():
        heard.append(websocket.receive()["id"])


def test_a_deploy_and_the_way_back_lose_nothing_and_an_open_websocket_goes_on(notes: Example) -> None:
    before, bundle = notes.live(), again(notes.bundle())
    new = release_of(bundle)
    kept = WebSocket(notes.site, "/api/live")
    kept.receive()
    with ThreadPoolExecutor() as pool, Writing(notes.site) as writing:
        # Who does not read is closed by uvicorn, which gets no answer to its pings.
        last, heard = Event(), list[int]()
        listening = pool.submit(listen, kept, last, heard)
        notes.fab.deploy(bundle, bake=3).ended(0, f"{new} is live on every app host", "lost=0")
        assert [notes.workers(host) for host in notes.app_hosts] == [[f"{new}:worker"]] * 2
        notes.fab.run("rollback").ended(0, f"{before} is live on every app host", "lost=0")
        assert [notes.workers(host) for host in notes.app_hosts] == [[f"{before}:worker"]] * 2
        last.set()
        listening.result()
    assert writing.losses == []
    assert set(writing.statuses) == {201}
    assert writing.releases == {before, new}
    kept.receives(write(notes, "the last"))
    assert len(heard) > len(writing.statuses) / 2, "it went on through all of it"
    hosts.until(
        "the workers have done what there was",
        lambda: notes.sql("SELECT count(*) FROM notes.job WHERE done_at IS NULL") == "0",
        seconds=60,
    )


def test_every_app_host_serves_the_files_of_the_live_release(notes: Example) -> None:
    for _ in range(4):
        said = notes.site.get("/static/notes.css")
        assert (said.status, said.headers["Content-Type"]) == (200, "text/css")
