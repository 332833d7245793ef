"""Metrics of several workers: what is told is what was done, whoever did it, whoever died."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import httpx2
import pytest
from prometheus_client import Histogram, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from conftest import RELEASE, Database, run
from observed import Observed
from shop.core.metrics import DURATION_BUCKETS, Metrics

PRODUCTS = "/api/v1/products"
OK = f'http_requests_total{{endpoint="{PRODUCTS}",method="GET",status="200"}}'
UNMATCHED = 'http_requests_total{endpoint="unmatched",method="GET",status="404"}'
COUNT = f'http_request_duration_seconds_count{{endpoint="{PRODUCTS}",method="GET"}}'
QUERIES = 'database_queries_total{operation="SELECT",table="products"}'


@pytest.fixture(params=[2])
def observed(database: Database, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Observed]:
    """Workers of a test's own, two unless it asks for another number, on its own database."""
    environ = database.environ(tmp_path / "credentials", SHOP_WORKERS=str(request.param))
    service = Observed(tmp_path, environ)
    try:
        service.wait_until_ready()
        yield service
    finally:
        service.stop()


@pytest.fixture(scope="module")
def quiet(
    new_database: Callable[[str], Database], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Observed]:
    """Two workers for the tests that leave them as they were."""
    directory = tmp_path_factory.mktemp("observed")
    environ = new_database("migrated").environ(directory / "credentials", SHOP_WORKERS="2")
    service = Observed(directory, environ)
    try:
        service.wait_until_ready()
        yield service
    finally:
        service.stop()


def eventually(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """What `condition` returns as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.1)
    return found


def served(service: Observed) -> bool:
    return service.listens_for_metrics() and service.scrape().status_code == 200


def ask(service: Observed, number: int) -> int:
    """Ask for products on `number` connections, so that every worker gets some; returns the answers."""
    answered = 0
    for _ in range(number):
        with service.client() as client, contextlib.suppress(httpx2.TransportError):
            answered += client.get(PRODUCTS).status_code == 200
    return answered


def leader(service: Observed) -> int:
    """The worker that said last that it serves the metrics' address, by its socket's inode."""
    pids = [
        pid
        for pid in service.workers()
        if any(
            os.readlink(f"/proc/{pid}/fd/{fd}").endswith("leader.lock")
            and "FLOCK" in Path(f"/proc/{pid}/fdinfo/{fd}").read_text()
            for fd in os.listdir(f"/proc/{pid}/fd")
            if Path(f"/proc/{pid}/fd/{fd}").is_symlink()
        )
    ]
    assert len(pids) == 1, pids
    return pids[0]


@pytest.mark.parametrize("observed", [4], indirect=True)
def test_four_workers_tell_what_their_clients_counted_even_when_one_is_killed(observed: Observed) -> None:
    eventually(lambda: served(observed))
    first = ask(observed, 80)
    assert first == 80
    assert eventually(lambda: observed.samples().get(OK) == 80)
    before = set(observed.workers())
    victim = next(pid for pid in before if pid != leader(observed))
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: len(set(observed.workers()) - {victim}) == 4)
    second = ask(observed, 80)
    eventually(lambda: observed.samples().get(OK) == first + second)
    samples = observed.samples()
    assert samples[COUNT] == first + second
    assert samples[QUERIES] == first + second
    assert not list(observed.values.glob(f"gauge_live*_{victim}.db")), (
        "a dead worker's gauges are still there"
    )
    counted = {int(path.stem.rpartition("_")[2]) for path in observed.values.glob("counter_*.db")}
    assert len(counted & (before | set(observed.workers()))) > 2, "the requests reached one worker only"


def test_every_number_says_which_release_counted_it(observed: Observed) -> None:
    ask(observed, 5)
    eventually(lambda: OK in observed.samples())
    lines = [line for line in observed.scrape().text.splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if f'release="{RELEASE}"' not in line] == []


def test_workers_that_end_have_told_all_that_they_counted(observed: Observed) -> None:
    assert ask(observed, 60) == 60
    assert observed.stop() == 0
    counted = MultiProcessCollector(None, str(observed.values)).collect()  # type: ignore[no-untyped-call]
    (requests,) = (family for family in counted if family.name == "http_requests")
    found = [sample.value for sample in requests.samples if sample.labels.get("endpoint") == PRODUCTS]
    assert sum(found) == 60


def test_requests_that_are_published_together_are_what_each_would_be_by_itself() -> None:
    together = Metrics()
    each = Histogram("http_request_duration_seconds", "x", buckets=DURATION_BUCKETS, registry=None)
    values = [*DURATION_BUCKETS, 0.0, 0.0049, 0.0051, 0.3, 7.0]
    for number, seconds in enumerate(values):
        together.count_request("GET", "/a", 200, seconds)
        each.observe(seconds)
        if number % 3 == 0:
            together.publish()
    together.publish()
    together.publish()
    (told,) = together.http_request_duration_seconds.collect()
    (expected,) = each.collect()

    def numbers(family: Metric) -> dict[tuple[str, str | None], float]:
        return {
            (sample.name, sample.labels.get("le")): sample.value
            for sample in family.samples
            if not sample.name.endswith("_created")
        }

    assert numbers(told) == pytest.approx(numbers(expected))
    assert together.http_requests_total.labels("GET", "/a", "200")._value.get() == len(values)


def test_another_worker_serves_the_metrics_when_the_one_that_did_is_killed(observed: Observed) -> None:
    eventually(lambda: served(observed))
    assert ask(observed, 20) == 20
    eventually(lambda: observed.samples().get(OK) == 20)
    first = leader(observed)
    os.kill(first, signal.SIGKILL)
    # Its memory goes before its sockets do: only when the parent has buried it, nobody listens.
    eventually(lambda: not Path(f"/proc/{first}").exists())
    eventually(lambda: served(observed))
    assert leader(observed) != first
    assert observed.samples()[OK] == 20, "counts of the dead leader are lost"


def test_a_client_that_goes_away_is_counted_once_and_leaves_nothing_active(
    observed: Observed, database: Database
) -> None:
    async def leave_while_the_table_is_locked() -> None:
        connection = await asyncpg.connect(
            host=str(database.cluster.socket_directory),
            port=database.cluster.port,
            database=database.name,
            user="postgres",
        )
        try:
            await connection.execute("BEGIN; LOCK TABLE shop.products IN ACCESS EXCLUSIVE MODE")
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(observed.socket))
                client.sendall(f"GET {PRODUCTS} HTTP/1.1\r\nHost: shop.test\r\n\r\n".encode())
                await anyio.sleep(0.5)
            await anyio.sleep(0.2)
        finally:
            await connection.close()

    eventually(lambda: served(observed))
    run(leave_while_the_table_is_locked)
    eventually(lambda: observed.samples().get(COUNT) == 1)
    eventually(lambda: observed.samples()["http_requests_active"] == 0)
    eventually(lambda: observed.samples()["database_pool_checked_out"] == 0)
    total = sum(
        value
        for name, value in observed.samples().items()
        if name.startswith("http_requests_total") and PRODUCTS in name
    )
    assert total == 1


def test_no_path_and_no_method_of_a_client_makes_a_series(quiet: Observed) -> None:
    eventually(lambda: served(quiet))
    with quiet.client() as client:
        for number in range(20):
            assert client.get(f"/nowhere/{number}").status_code == 404
        for method in ("PROPFIND", "TRACE", "LOCK"):
            client.request(method, "/nowhere")
    eventually(lambda: quiet.samples().get(UNMATCHED) == 20)
    text = quiet.scrape().text
    assert "nowhere" not in text
    assert "PROPFIND" not in text
    assert 'method="other"' in text


def test_the_names_are_those_that_were_asked_for(quiet: Observed) -> None:
    eventually(lambda: served(quiet))
    ask(quiet, 3)
    eventually(lambda: quiet.samples().get(COUNT, 0) >= 3)
    eventually(lambda: "event_loop_lag_seconds_count" in quiet.samples())
    # Two workers with a pool of two each; one may be ready before the other.
    eventually(lambda: quiet.samples().get("database_pool_size") == 4)
    samples = quiet.samples()
    buckets = {
        float(name.split('le="')[1].split('"')[0])
        for name in samples
        if name.startswith("http_request_duration_seconds_bucket") and "+Inf" not in name
    }
    assert buckets == {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5}
    names = {name.partition("{")[0] for name in samples}
    assert {
        "http_requests_active",
        "database_queries_total",
        "database_pool_checked_out",
        "database_pool_checked_in",
        "database_pool_overflow",
        "database_pool_size",
        "database_pool_waiters",
        "database_up",
        "database_connections",
        "database_size_bytes",
        "database_longest_running_seconds",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
    } <= names
    assert samples["shop_build_info"] == 1
    assert len([name for name in samples if name.startswith("process_threads{")]) == 2
    if any(path.name == "memory.current" for path in Path("/sys/fs/cgroup").iterdir()):
        assert samples["cgroup_memory_bytes"] > 0


@pytest.mark.parametrize(
    ("accept", "content_type", "last_line"),
    [
        ("*/*", "text/plain; version=", ""),
        (
            "application/openmetrics-text; version=1.0.0",
            "application/openmetrics-text; version=1.0.0",
            "# EOF",
        ),
    ],
)
def test_the_content_type_says_what_the_body_is(
    quiet: Observed, accept: str, content_type: str, last_line: str
) -> None:
    eventually(lambda: served(quiet))
    response = quiet.scrape(Accept=accept)
    assert response.headers["content-type"].startswith(content_type)
    assert (response.text.splitlines()[-1] == "# EOF") is (last_line == "# EOF")


def test_metrics_are_not_on_the_public_address_and_nothing_else_is_on_theirs(quiet: Observed) -> None:
    eventually(lambda: served(quiet))
    with quiet.client() as client:
        assert client.get("/metrics").status_code == 404
    assert quiet.scrape("/api/v1/products").status_code == 404


def test_metrics_can_be_served_on_a_loopback_port(database: Database, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = database.environ(
        tmp_path / "credentials", SHOP_WORKERS="2", SHOP_METRICS_ADDRESS=f"127.0.0.1:{port}"
    )
    service = Observed(tmp_path, environ)
    try:
        service.wait_until_ready()
        eventually(lambda: served(service))
    finally:
        status = service.stop()
    assert status == 0
    errors = [event for event in service.events() if event["level"] in ("error", "critical")]
    assert not errors


def test_without_an_address_no_file_is_written(database: Database, tmp_path: Path) -> None:
    environ = database.environ(tmp_path / "credentials", SHOP_WORKERS="2", SHOP_METRICS_ADDRESS="")
    service = Observed(tmp_path, environ)
    try:
        service.wait_until_ready()
        assert ask(service, 10) == 10
    finally:
        assert service.stop() == 0
    assert list(service.values.iterdir()) == []
