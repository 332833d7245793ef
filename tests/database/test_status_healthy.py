"""What is healthy and busy is left in peace."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import psycopg

from fabfile.database.checks.judging import About
from fabfile.database.checks.sections import workload
from fabfile.database.findings import Finding, Level
from tests.database.clusters import programs
from tests.database.status_ground import Cluster, cluster, one_a_version, running, wrong
from tests.unit.plugins.test_postgresql_harness import run_as_owner

__all__ = ["cluster", "one_a_version", "running"]


def test_a_busy_healthy_server_is_left_in_peace(cluster: Cluster) -> None:
    stop = threading.Event()

    def write(session: psycopg.Connection[tuple[object, ...]]) -> None:
        while not stop.is_set():
            session.execute("INSERT INTO shop.orders (state) VALUES ('new')")
            session.execute(
                "UPDATE shop.orders SET state = 'paid' WHERE id = (SELECT max(id) FROM shop.orders)"
            )

    writers = [threading.Thread(target=write, args=(cluster.connect("shop"),)) for _ in range(4)]
    for writer in writers:
        writer.start()
    try:
        reports = [cluster.look() for _ in range(5)]
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert [wrong(report) for report in reports] == [{}] * 5
    assert {report.exit_code for report in reports} == {0}


def test_a_benchmark_that_keeps_the_server_busy_is_left_in_peace(cluster: Cluster) -> None:
    where = ("--host", cluster.directory, "--port", str(cluster.port), "--username=postgres", "shop")
    # Of 15, for all: it is the one with the clients' programs.
    benchmark = programs(15) / "pgbench"
    run_as_owner(benchmark, "--initialize", "--quiet", "--scale=3", *where)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run_as_owner, benchmark, "--client=6", "--time=6", *where)
        reports = [cluster.look() for _ in range(3)]
        running.result()
    reports.append(cluster.look())
    assert [wrong(report) for report in reports] == [{}] * 4
    assert {report.exit_code for report in reports} == {0}


def test_a_cache_that_has_had_time_to_fill_and_is_missed_is_told() -> None:
    about = About("test", "shop", datetime.now(UTC), 0)
    missed = workload.Cache(80_000, 40_000, 1, 0, 0, 0, 0, began=0, at=2 * workload.LEAST_SECONDS)
    just_started = replace(missed, at=60)
    told = [next(iter(workload.cache(about, [each]))) for each in (missed, just_started)]
    assert [each.level for each in told if isinstance(each, Finding)] == [Level.WARN, Level.OK]
