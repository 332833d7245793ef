"""Backups of a configured host: by hand and by timer, proven by a restore, and no other's business."""

import json
from typing import Any

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks
from tests.e2e.fab_runs import Fab
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

FOLDER = "/var/backups/slipway/shop"
UNITS = ("slipway-backup", "slipway-restore-test")
DATABASES = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE NOT datistemplate"


@pytest.fixture
def fab(host: Host, lab: Lab) -> Fab:
    """The tasks on the one host."""
    return Fab(lab.site.inventory.name)


def mark(host: Host, name: str) -> dict[str, Any]:
    """latest or restore-test, as the engineers' account reads it."""
    return dict(json.loads(hosts.output(host, f"runuser --user=deploy -- cat {FOLDER}/{name}.json")))


def test_a_backup_by_hand_is_listed_marked_and_restored(host: Host, fab: Fab) -> None:
    made = json.loads(fab.run("db-backup", "--reason=by a test", "--json").ended(0).output)
    assert made["release"] == hosts.live_release(host)
    assert made["tables"]["shop.products"] == int(hosts.sql(host, "SELECT count(*) FROM shop.products"))

    fab.run("db-restore", "--list").ended(0, made["file"], "by a test")
    fab.run("db-restore", "--into=scratch", f"--from={made['file']}").ended(
        0, "Left out, because only a superuser makes it:", "pg_stat_statements", "The database scratch stays"
    )
    count = "SELECT count(*) FROM shop.products"
    assert hosts.sql(host, count, database="scratch") == hosts.sql(host, count)
    fab.run("db-restore", "--into=scratch").ended(2, "add --replace")
    fab.run("db-restore", "--into=scratch", "--replace", "--drop").ended(0, "was dropped again")

    latest, tested = mark(host, "latest"), mark(host, "restore-test")
    assert (latest["ok"], latest["file"], latest["sha256"]) == (True, made["file"], made["sha256"])
    assert (tested["ok"], tested["file"]) == (True, made["file"])
    assert hosts.sql(host, DATABASES) == "postgres shop"


def test_the_live_database_is_not_restored_into(host: Host, fab: Fab) -> None:
    fab.run("db-restore", "--into=shop").ended(2, "it is the live database. Nothing was changed.")
    fab.run("db-restore", "--into=x;y").ended(2, "is not a name for a scratch database")
    fab.run("db-restore", "--into=scratch", "--test").ended(2, "Say one of")


def test_the_timers_wait_and_what_they_start_does_its_work_in_its_sandbox(host: Host) -> None:
    waiting = hosts.output(host, "systemctl list-timers --all --no-legend")
    assert all(f"{unit}.timer" in waiting for unit in UNITS), waiting
    before = mark(host, "latest")["file"] if "latest.json" in hosts.output(host, f"ls {FOLDER}") else ""

    for unit in UNITS:
        done = host.run(f"systemctl start {unit}.service")
        assert done.returncode == 0, hosts.journal(host, f"{unit}.service")

    assert mark(host, "latest")["file"] > before
    assert mark(host, "latest")["ok"] is True
    assert mark(host, "restore-test")["file"] == mark(host, "latest")["file"]
    assert mark(host, "restore-test")["ok"] is True
    assert hosts.sql(host, DATABASES) == "postgres shop"


@pytest.mark.parametrize("user", ["shop", "www-data", "nobody"])
def test_nobody_else_reads_a_backup(host: Host, user: str) -> None:
    assert "Permission denied" in hosts.refused(host, f"runuser --user={user} -- ls {FOLDER}")


def test_a_run_after_backups_changes_nothing(host: Host, playbooks: Playbooks) -> None:
    run = playbooks.run("playbooks/database.yml").succeeded()
    assert run.changed == 0, run
