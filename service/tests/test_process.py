"""The service as a process: workers, socket, log lines, hostile bytes, stopping."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from conftest import RELEASE, Database, run
from running import Service

pytestmark = pytest.mark.differs("how a process ends and what asyncio cancels are the interpreter's")

PRODUCTS = "/api/v1/products"
ISO_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@pytest.fixture(scope="module")
def service(
    new_database: Callable[[str], Database], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """One service with two workers for the tests that leave it as it was."""
    directory = tmp_path_factory.mktemp("service")
    environ = new_database("migrated").environ(directory / "credentials", SHOP_WORKERS="2")
    service = Service(directory, environ)
    try:
        service.wait_until_ready()
        yield service
    finally:
        service.stop()


def access_line(service: Service, request_id: str) -> dict[str, object]:
    """The one access line of a request; it is written just after the answer is out."""
    deadline = time.monotonic() + 3
    while True:
        lines = [
            event
            for event in service.events()
            if event["event"] == "request" and event.get("request_id") == request_id
        ]
        if lines:
            assert len(lines) == 1, lines
            return lines[0]
        assert time.monotonic() < deadline, f"no access line for {request_id}\n{service.output.read_text()}"
        time.sleep(0.05)


def test_two_workers_answer(service: Service) -> None:
    assert len(service.workers()) == 2
    with service.client() as client:
        response = client.get(PRODUCTS)
    assert response.status_code == 200, response.text
    assert response.headers.get_list("x-release") == [RELEASE]
    assert "server" not in response.headers


def test_every_line_of_the_log_is_json_with_the_same_fields(service: Service) -> None:
    with service.client() as client:
        client.get(PRODUCTS)
    deadline = time.monotonic() + 20
    # An answer is out before its line is.
    while not any(event["logger"] == "shop.access" for event in service.events()):
        assert time.monotonic() < deadline, service.output.read_text()
        time.sleep(0.05)
    events = service.events()
    for event in events:
        assert {"timestamp", "level", "event", "logger", "release"} <= set(event), event
        assert ISO_UTC.fullmatch(event["timestamp"]), event
        assert event["release"] == RELEASE, event
    # A machine that is busy makes a line of its own: the loop was late.
    assert {event["logger"] for event in events} - {"shop.loop"} == {
        "uvicorn.error",
        "shop.access",
        "shop.health",
        "shop.settings",
    }
    assert any("parent process" in event["event"] for event in events), "uvicorn's parent does not log JSON"


def test_each_worker_says_what_it_starts_with_and_no_secret(service: Service) -> None:
    deadline = time.monotonic() + 60
    # The other worker may still be starting when the first is ready.
    while len(announced := [event for event in service.events() if event["event"] == "settings"]) < 2:
        assert time.monotonic() < deadline, service.output.read_text()
        time.sleep(0.1)
    assert len(announced) == 2
    for event in announced:
        assert (event["workers"], event["connections"], event["database_pool_size"]) == (2, 6, 2)
        assert (event["secret_key"], event["sentry_dsn"]) == ("set", "not set")
    for secret in ("database_password", "migrate_database_password", "secret_key"):
        value = (service.output.parent / "credentials" / secret).read_text().strip()
        assert value not in service.output.read_text()


def test_a_settings_file_of_a_later_release_stops_nobody(database: Database, tmp_path: Path) -> None:
    environ = database.environ(tmp_path / "credentials", SHOP_OF_A_LATER_RELEASE="blue", SHOP_WORKERS="1")
    service = Service(tmp_path, environ)
    try:
        service.wait_until_ready()
    finally:
        service.stop()
    (told,) = (event for event in service.events() if event["event"] == "settings_unknown")
    assert (told["level"], told["variables"]) == ("warning", ["SHOP_OF_A_LATER_RELEASE"])
    assert "blue" not in service.output.read_text()


def test_a_request_leaves_one_access_line(service: Service) -> None:
    path = f"{PRODUCTS}/019b76da-a800-7000-8000-000000000001"
    with service.client() as client:
        headers = {"X-Request-ID": "access-line-1", "X-Forwarded-For": "192.0.2.7"}
        assert client.get(path, headers=headers).status_code == 200
    line = access_line(service, "access-line-1")
    assert line["method"] == "GET"
    assert line["path"] == path
    assert line["route"] == "/api/v1/products/{product_id}"
    assert line["status"] == 200
    assert line["client"] == "192.0.2.7"
    assert line["level"] == "info"
    duration = line["duration"]
    assert isinstance(duration, float) and 0 < duration < 5
    assert line["user_id"] is None


def test_an_unmatched_path_cannot_make_new_route_names_or_long_lines(service: Service) -> None:
    with service.client() as client:
        response = client.get("/" + "n" * 3000 + "%0a{}", headers={"X-Request-ID": "access-line-2"})
    assert response.status_code == 404
    line = access_line(service, "access-line-2")
    assert line["route"] == "unmatched"
    assert len(str(line["path"])) == 512


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        (b"/\xff\xfe", b""),
        (b"/%00", b""),
        (b"http://[::1/", b""),
        (b"/health/live", b"X-Request-ID: a\rX-Injected: 1\r\n"),
        (b"/health/live", b"X-Request-ID: a\n X-Injected: 1\r\n"),
        (b"/health/live", b"X-Request-ID: a\x00b\r\n"),
        (b"/health/live", b"X-Request-ID: \xe9\r\nHost: \xff\r\n"),
        (b"/health/live", b"X-Forwarded-For: '\"\\;\x7f, ,,\r\n"),
        (b"/health/live", b"Upgrade: websocket\r\n"),
        (b"/health/live", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        (b"/api/v1/products/" + b"a" * 60000, b""),
        (b"/api/v1/products?limit=1e400", b""),
    ],
)
def test_hostile_bytes_are_never_a_fault_of_ours(service: Service, target: bytes, headers: bytes) -> None:
    answer = service.raw(b"GET " + target + b" HTTP/1.1\r\n" + headers + b"Connection: close\r\n\r\n")
    head, _, _ = answer.partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/1\.1 (200|4\d\d) ", head), answer[:500]
    assert b"injected" not in head.lower(), head
    with service.client() as client:
        assert client.get("/health/live").status_code == 200
    assert "unhandled_error" not in {event["event"] for event in service.events()}


def test_a_worker_that_dies_is_replaced(service: Service) -> None:
    victim, survivor = service.workers()
    os.kill(victim, signal.SIGKILL)
    deadline = time.monotonic() + 15
    while len(service.workers()) < 2 or victim in service.workers():
        assert time.monotonic() < deadline, service.output.read_text()
        time.sleep(0.1)
    assert survivor in service.workers()
    service.wait_until_ready()


def test_a_request_in_flight_is_answered_before_the_service_stops(database: Database, tmp_path: Path) -> None:
    service = Service(tmp_path, database.environ(tmp_path / "credentials", SHOP_WORKERS="2"))
    answers: list[httpx2.Response] = []

    def ask() -> None:
        with service.client() as client:
            answers.append(client.get(PRODUCTS))

    async def stop_while_the_table_is_locked() -> None:
        connection = await database.cluster.connect(database.name)
        try:
            await connection.execute("BEGIN; LOCK TABLE shop.products IN ACCESS EXCLUSIVE MODE")
            asking.start()
            # Not pg_stat_activity: inside a transaction it shows one moment for ever.
            waiting = (
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'shop.products'::regclass"
            )
            deadline = time.monotonic() + 15
            while not await connection.fetchval(waiting):
                assert time.monotonic() < deadline, "the request did not reach the database"
                await connection.execute("SELECT pg_sleep(0.05)")
            service.process.send_signal(signal.SIGTERM)
            await connection.execute("SELECT pg_sleep(0.3)")
        finally:
            await connection.close()

    asking = threading.Thread(target=ask)
    try:
        service.wait_until_ready()
        run(stop_while_the_table_is_locked)
        asking.join(20)
        status = service.process.wait(20)
    finally:
        service.stop()
    assert [answer.status_code for answer in answers] == [200], service.output.read_text()
    assert status == 0, service.output.read_text()
    sessions = f"SELECT pid FROM pg_stat_activity WHERE datname = '{database.name}' AND usename = 'shop'"
    assert run(database.fetch, sessions) == []


def test_a_refused_configuration_stops_the_parent_with_its_sentences(
    database: Database, tmp_path: Path
) -> None:
    environ = database.environ(tmp_path / "credentials", SHOP_LOG_LEVEL="loud", SHOP_WORKERS="2")
    service = Service(tmp_path, environ)
    try:
        service.process.wait(20)
    finally:
        service.stop()
    output = service.output.read_text()
    assert "SHOP_LOG_LEVEL is 'loud'" in output
    assert "Traceback" not in output


def test_it_serves_where_memory_is_never_writable_and_executable(database: Database, tmp_path: Path) -> None:
    release = tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])
    if release < (6, 3):
        pytest.skip(f"the kernel {os.uname().release} cannot deny such memory by prctl: it takes 6.3")
    environ = database.environ(tmp_path / "credentials", SHOP_WORKERS="2")
    service = Service(tmp_path, environ, deny_memory=True)
    try:
        service.wait_until_ready()
        with service.client() as client:
            assert client.get(PRODUCTS).status_code == 200
    finally:
        service.stop()
