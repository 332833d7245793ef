"""`fab db-status` on a configured host: what is right is left in peace, and faults are seen over SSH."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e import hosts
from tests.e2e.fab_runs import Fab
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

SERVER = "postgresql@14-main.service"
UNIT = "slipway-test-sessions"
LOOK = "runuser --user=postgres -- /usr/local/lib/slipway/shop/look-at-postgresql"
PATIENCE = 120
IDLE = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
# A session that sleeps does not notice that its client is gone.
END = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'shop' AND application_name = 'psql'
"""


@pytest.fixture
def fab(host: Host, lab: Lab) -> Fab:
    """The tasks on the one host."""
    return Fab(lab.site.inventory.name)


@contextmanager
def sessions(host: Host, script: str) -> Iterator[None]:
    """Sessions of the service's role, from a shell's script, until the block ends."""
    hosts.output(host, f"systemd-run --quiet --collect --unit={UNIT} --uid=shop sh -c '{script}'")
    try:
        yield
    finally:
        hosts.output(host, f"systemctl stop {UNIT}")
        hosts.sql(host, END)


def used(host: Host) -> int:
    """How many connections are taken."""
    return int(json.loads(hosts.output(host, LOOK))["limits"]["used"])


def finding(report: dict[str, Any], check: str) -> dict[str, Any]:
    """The first finding of a check."""
    every = [finding for section in report["sections"] for finding in section["findings"]]
    return next(finding for finding in every if finding["check"] == check)


def test_a_healthy_host_has_nothing_to_say(host: Host, fab: Fab) -> None:
    # Other tests crash the host, and a server that had to recover says so; a restart in order is the end of that.
    hosts.output(host, f"systemctl restart {SERVER}")
    fab.run("db-backup").ended(0)
    fab.run("db-restore", "--test").ended(0)

    fab.run("db-status").ended(0, "is a primary of PostgreSQL 14.")
    report = json.loads(fab.run("db-status", "--json").ended(0).output)

    assert report["level"] == "ok"
    assert finding(report, "backup")["value"] >= 0
    assert "as the live release has it" in finding(report, "migration")["sentence"]


def test_a_session_that_is_idle_in_a_transaction_is_seen(host: Host, fab: Fab) -> None:
    with sessions(host, '(echo "BEGIN; SELECT 1;"; sleep 600) | psql --no-psqlrc shop'):
        hosts.until("a session is idle", lambda: hosts.sql(host, IDLE) == "1", seconds=PATIENCE)
        report = json.loads(fab.run("db-status", "--json", "--section=sessions").output)
    seen = finding(report, "idle-in-transaction")
    assert "(shop, psql)" in seen["sentence"]
    assert seen["value"] > 0


TAKE = 'for each in $(seq 120); do psql --no-psqlrc -c "SELECT pg_sleep(600)" shop & done; wait'
LIMIT = "ALTER ROLE shop CONNECTION LIMIT {}"


def test_when_the_service_has_all_that_it_may_have_engineers_come_in_as_ever(host: Host, fab: Fab) -> None:
    with sessions(host, TAKE):
        hosts.until("the service's connections are taken", lambda: used(host) >= 87, seconds=PATIENCE)
        done = fab.run("db-status").ended(2, "The role shop has 87 of the 87 sessions it may have")
        assert "kept for superusers" not in done.output
    hosts.until("the connections are free again", lambda: used(host) < 60, seconds=PATIENCE)


@pytest.fixture
def unlimited(host: Host) -> Iterator[None]:
    """The service's login may take every connection, as another's role without a limit could."""
    hosts.sql(host, LIMIT.format(-1))
    yield
    hosts.sql(host, LIMIT.format(87))


@pytest.mark.usefixtures("unlimited")
def test_when_every_connection_is_taken_it_looks_over_a_kept_one(host: Host, fab: Fab) -> None:
    with sessions(host, TAKE):
        hosts.until("the connections are taken", lambda: used(host) >= 97, seconds=PATIENCE)
        fab.run("db-status").ended(
            2,
            "this was read over a connection that is kept for superusers",
            "97 connections are taken",
            "fab db-activity",
        )
    hosts.until("the connections are free again", lambda: used(host) < 60, seconds=PATIENCE)


def test_a_stopped_server_is_said_with_what_to_do(host: Host, fab: Fab) -> None:
    hosts.output(host, f"systemctl stop {SERVER}")
    try:
        fab.run("db-status").ended(
            2, "takes no connection", "its unit is inactive", "systemctl start postgresql@14-main"
        )
        fab.run("db-status", "--section=nonsense").ended(3, "There is no section 'nonsense'")
    finally:
        hosts.output(host, f"systemctl start {SERVER}")
