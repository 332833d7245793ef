"""Backups of a configured host: by hand and by timer, proven by a restore, and no other's business."""

import json
from typing import Any

import pytest

from fabfile.backups import backup_point
from fabfile.hosts import environment
from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks
from tests.e2e.fab_runs import Fab
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

FOLDER = "/var/backups/slipway/shop"
UNITS = ("slipway-backup-shop", "slipway-restore-test-shop")
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


def test_a_point_to_go_back_to_is_said_in_a_sentence_and_routine_backups_leave_it(
    host: Host, fab: Fab
) -> None:
    said = backup_point(environment.load(fab.name), "before revision 5d2c8f1e9a40")
    name = said.split()[1].rstrip(":")
    assert said.startswith(f"Backup {mark(host, 'latest')['file']}: ")
    for _ in range(2):
        fab.run("db-backup", "--keep=1").ended(0)
    fab.run("db-restore", "--list").ended(0, name, "before revision 5d2c8f1e9a40")


def test_who_makes_a_backup_is_said_to_who_wants_another(host: Host, fab: Fab) -> None:
    held = f"{FOLDER}/.backup.lock"
    hosts.output(
        host, f"systemd-run --quiet --uid=slipway_backup --unit=held-backup flock {held} sleep infinity"
    )
    try:
        hosts.until(
            "the lock is held",
            lambda: host.run(f"runuser --user=slipway_backup -- flock --nonblock {held} true").returncode,
            seconds=60,
        )
        fab.run("db-backup").ended(4, "the same is being done by")
    finally:
        hosts.output(host, "systemctl stop held-backup")
    fab.run("db-backup").ended(0)


def test_the_live_database_is_not_restored_into(host: Host, fab: Fab) -> None:
    fab.run("db-restore", "--into=shop").ended(2, "it is the live database. Nothing was changed.")
    fab.run("db-restore", "--into=x;y").ended(2, "is not a name beside the live database")
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


def test_who_deploys_has_backups_made_and_neither_reads_nor_removes_one(host: Host, fab: Fab) -> None:
    made = json.loads(fab.run("db-backup", "--json").ended(0).output)["file"]
    as_deploy = "runuser --user=deploy --"
    assert mark(host, "latest")["file"] == made
    for words in (
        f"cat {FOLDER}/{made}",
        f"rm -f {FOLDER}/{made}",
        f"touch {FOLDER}/new",
        f"mv {FOLDER} /tmp/gone",
    ):
        assert "Permission denied" in hosts.refused(host, f"{as_deploy} {words}")
    program = "/usr/local/lib/slipway/database-backup"
    for words in (
        "/usr/bin/id",
        f"/usr/bin/env {program} list",
        f"SLIPWAY_BACKUP_CONFIG=/tmp/x {program} list",
    ):
        refused = host.run(f"{as_deploy} sudo -n -u slipway_backup {words}")
        assert refused.returncode != 0, refused.stdout
    fab.run("db-backup", "--keep=1").ended(0)
    routine = f"{as_deploy} sudo -n -u slipway_backup {program} backup --kind=routine --keep=1"
    assert "backups_keep" in hosts.refused(host, routine)


def test_a_host_whose_dumps_were_the_deploy_users_converges(
    host: Host, fab: Fab, playbooks: Playbooks
) -> None:
    made = json.loads(fab.run("db-backup", "--json").ended(0).output)["file"]
    hosts.output(host, f"chown -R deploy:deploy {FOLDER}; chmod -R u=rwX,go= {FOLDER}")
    hosts.output(host, f"ln -s /etc/shadow {FOLDER}/19990101T000000Z.json; chown -h deploy {FOLDER}/*.json")
    shadow = hosts.output(host, "stat -c '%U %a' /etc/shadow")

    playbooks.run("playbooks/database.yml").succeeded()

    assert hosts.output(host, f"find {FOLDER} ! -user slipway_backup") == ""
    assert hosts.output(host, "stat -c '%U %a' /etc/shadow") == shadow
    hosts.output(host, f"rm {FOLDER}/19990101T000000Z.json")
    assert mark(host, "latest")["file"] == made
    fab.run("db-restore", "--test", f"--from={made}").ended(0)


@pytest.mark.parametrize("user", ["shop", "www-data", "nobody"])
def test_nobody_else_reads_a_backup(host: Host, user: str) -> None:
    assert "Permission denied" in hosts.refused(host, f"runuser --user={user} -- ls {FOLDER}")


def test_a_run_after_backups_changes_nothing(host: Host, playbooks: Playbooks) -> None:
    run = playbooks.run("playbooks/database.yml").succeeded()
    assert run.changed == 0, run
