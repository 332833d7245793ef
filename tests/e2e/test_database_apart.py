"""A database on a host of its own is looked at and kept like one beside the service."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e import hosts
from tests.e2e.fab_runs import Fab
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200), pytest.mark.usefixtures("fleet_run")]

MANIFEST = "/srv/shop/current/manifest.json"


@pytest.fixture
def fab(fleet: Lab) -> Fab:
    """The tasks on the fleet."""
    return Fab(fleet.site.inventory.name)


@pytest.fixture
def database(fleet: Lab) -> Host:
    """The host of the database, which has no release of the service."""
    host = fleet.host(fleet.groups["db"][0])
    assert host.name not in fleet.groups["app"]
    assert host.run(f"test -e {MANIFEST}").returncode != 0
    return host


@pytest.fixture
def service(fleet: Lab) -> Host:
    """The first host of the service."""
    return fleet.host(fleet.groups["app"][0])


def findings(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The first finding of each check."""
    every = [finding for section in report["sections"] for finding in section["findings"]]
    return {finding["check"]: finding for finding in reversed(every)}


def test_a_backup_is_made_on_the_database_s_host_and_says_the_service_s_release(
    fab: Fab, database: Host, service: Host
) -> None:
    made = json.loads(fab.run("db-backup", "--reason=by a test", "--json").ended(0).output)
    assert made["tables"]["shop.products"] == int(hosts.sql(database, "SELECT count(*) FROM shop.products"))
    assert made["release"] == hosts.live_release(service)
    hosts.output(database, f"test -f /var/backups/slipway/shop/{made['file']}")
    fab.run("db-restore", "--test").ended(0)


def test_status_is_of_the_database_s_host_and_knows_the_service_s_release(fab: Fab, database: Host) -> None:
    fab.run("db-backup").ended(0)
    fab.run("db-restore", "--test").ended(0)

    report = json.loads(fab.run("db-status", "--json").ended(0).output)

    assert (report["level"], report["server"]["host"]) == ("ok", database.name)
    said = findings(report)
    assert "as the live release has it" in said["migration"]["sentence"]
    assert said["certificate"]["value"] > 21
    assert said["encryption"]["sentence"] == "0 sessions from other hosts are not encrypted."


def test_a_release_that_the_service_s_host_does_not_say_is_not_taken_for_the_right_one(
    fab: Fab, database: Host, service: Host
) -> None:
    hosts.output(service, f"chmod 0600 {MANIFEST}")
    try:
        report = json.loads(fab.run("db-status", "--json").output)
    finally:
        hosts.output(service, f"chmod 0644 {MANIFEST}")
    said = findings(report)
    assert (said["migration"]["level"], report["exit_code"]) == ("unknown", 3)
    assert report["server"]["host"] == database.name
    assert said["connections"]["level"] == "ok"
