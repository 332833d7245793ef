"""Physical backups of a configured host: a table that was dropped under load comes back, and what is wrong is told."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import hosts, inventories
from tests.e2e.ansible_runs import Playbooks
from tests.e2e.fab_runs import Fab
from tests.e2e.ground import RATE, ground_of
from tests.e2e.web import Site
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

NAME = "test-physical"
SAYS = {
    "backups_physical": True,
    "backups_physical_key": "a-key-of-a-test-host-that-opens-nothing-else",
    "backups_physical_key_kept": "nowhere: the host is thrown away",
}
PROGRAM = "runuser --user=postgres -- /usr/local/lib/slipway/physical-backup --json --app=shop"
MARKS = "/var/backups/slipway-physical/shop"
SIDES = "/var/lib/postgresql/restored/shop"
REPOSITORY = "/var/lib/pgbackrest"
WRITER = (
    "INSERT INTO shop.oracle DEFAULT VALUES RETURNING id, extract(epoch FROM clock_timestamp()) \\watch 0.02"
)
LOG = "/tmp/oracle.log"
# A row's time is taken before its commit is on the disk.
COMMIT = 0.5
LONG = 120.0


@dataclass
class Backed:
    """The one host, with an inventory that wants physical backups."""

    host: Host
    fab: Fab
    playbooks: Playbooks

    def asks(self, words: str) -> dict[str, Any]:
        """The answer of the host's program."""
        return dict(json.loads(self.host.run(f"cd / && {PROGRAM} {words}").stdout))

    def done(self, words: str) -> dict[str, Any]:
        """The result of what has to go well."""
        answer = self.asks(words)
        assert answer["ok"], answer
        return dict(answer["result"])

    def in_side(self, name: str, statement: str) -> str:
        """What a restored cluster says to the engineers' account."""
        port = json.loads(hosts.output(self.host, f"cat {SIDES}/{name}/about.json"))["port"]
        return hosts.output(
            self.host,
            f"runuser --user=deploy -- psql --no-psqlrc -At --host={SIDES}/{name}/socket --port={port} "
            "--username=slipway_backup shop",
            stdin=statement,
        )

    def moment(self) -> float:
        """The host's clock, seconds."""
        return float(hosts.output(self.host, "date +%s.%N"))

    def sides(self) -> str:
        return hosts.output(self.host, f"ls {SIDES}")


@pytest.fixture(scope="module")
def backed(spoilt: Host, lab: Lab) -> Iterator[Backed]:
    """The host with physical backups."""
    with inventories.own(lab.site.inventory, NAME, SAYS) as inventory:
        own = Playbooks(inventory.folder)
        for layer in ("base", "database"):
            own.run(f"playbooks/{layer}.yml").succeeded()
        yield Backed(spoilt, Fab(NAME), own)


@contextmanager
def written(host: Host) -> Iterator[None]:
    """A table that gets a numbered row every 20 ms; its log has each with its time."""
    hosts.sql(host, "CREATE TABLE shop.oracle (id bigserial PRIMARY KEY)")
    hosts.output(host, "cat > /tmp/oracle.sql", stdin=WRITER)
    run = "systemd-run --quiet --collect --unit=oracle --uid=postgres -- sh -c"
    hosts.output(host, f"{run} 'psql --no-psqlrc -At --file=/tmp/oracle.sql shop > {LOG}'")
    try:
        yield
    finally:
        host.run(f"systemctl stop oracle; rm -f {LOG} /tmp/oracle.sql")
        hosts.sql(host, "DROP TABLE IF EXISTS shop.oracle")


def succeeds(host: Host, command: str) -> bool:
    return host.run(command).returncode == 0


def oracle(host: Host) -> dict[int, float]:
    """Every row that the writer was told is kept, with its time."""
    found = re.findall(r"^(\d+)\|([\d.]+)$", hosts.output(host, f"cat {LOG}"), re.MULTILINE)
    return {int(number): float(at) for number, at in found}


@pytest.mark.long
@pytest.mark.share
def test_a_table_that_was_dropped_under_load_is_back_as_it_was_a_second_before_twice_in_a_row(
    backed: Backed, lab: Lab, site: Site
) -> None:
    host, ground = backed.host, ground_of(lab, site)
    shop = ground.shop()
    with shop.load(RATE / 2) as load:
        for name in ("once", "twice"):
            with written(host):
                hosts.until("rows arrive", lambda: len(oracle(host)) > 100, seconds=LONG)
                moment = backed.moment()
                time.sleep(1)
                hosts.sql(host, "DROP TABLE shop.oracle")
                told = oracle(host)
                said = datetime.fromtimestamp(moment, UTC).isoformat()
                planned = backed.fab.run("db-restore", f"--time={said}", "--plan").ended(0, "is not in it")
                done = backed.fab.run("db-restore", f"--time={said}", f"--into={name}", "--json").ended(0)
            result = json.loads(done.output)
            print(f"{name}: {planned.output}\n{done.seconds:.1f} s in all, {result['seconds']} s there")
            back = {int(line) for line in backed.in_side(name, "SELECT id FROM shop.oracle").split()}
            assert {each for each, at in told.items() if at < moment - COMMIT} <= back
            assert back <= {each for each, at in told.items() if at <= moment}
            assert hosts.sql(host, "SELECT to_regclass('shop.oracle') IS NULL") == "t"
    load.seen.lost_nothing()
    assert backed.sides().split() == ["once", "twice"]
    # Nobody's service reaches it.
    assert "Permission denied" in hosts.refused(
        host, f"runuser --user=shop -- psql --host={SIDES}/once/socket --port=55433 shop --command='SELECT 1'"
    )
    for name in ("once", "twice"):
        backed.fab.run("db-restore", f"--remove={name}").ended(0, "was stopped and removed")
    assert backed.sides() == ""


@pytest.mark.long
@pytest.mark.share
def test_a_fresh_host_has_a_backup_a_proof_and_no_false_alarm_and_a_second_run_changes_nothing(
    backed: Backed,
) -> None:
    again = backed.playbooks.run("playbooks/database.yml").succeeded()
    assert again.changed == 0, again
    proof = backed.host.run("systemctl start slipway-physical-shop@restore-test.service")
    assert proof.returncode == 0, hosts.journal(backed.host, "slipway-physical-shop@restore-test.service")
    backed.fab.run("db-backups").ended(0, "full", "every index and page checked")
    lines = json.loads(backed.fab.run("db-status", "--json", "--section=service,replication").output)
    findings = {
        each["check"]: (each["level"], each["sentence"])
        for section in lines["sections"] for each in section["findings"]
    }  # fmt: skip
    names = ("archiving", "physical-backup", "physical-restore-test", "wal-continuity", "backup-integrity")
    assert {name: findings[name][0] for name in names} == dict.fromkeys(names, "ok"), findings


@pytest.mark.long
def test_a_restore_ends_before_a_transaction_and_at_a_name(backed: Backed) -> None:
    host = backed.host
    hosts.sql(host, "CREATE TABLE shop.marked (id int)")
    backed.done("point --name=by-a-test")
    xid = hosts.sql(host, "INSERT INTO shop.marked VALUES (1) RETURNING pg_current_xact_id()")
    try:
        for name, words in (("by_xid", f"--xid={xid}"), ("by_name", "--name=by-a-test")):
            backed.fab.run("db-restore", words, f"--into={name}").ended(0)
            assert backed.in_side(name, "SELECT count(*) FROM shop.marked") == "0"
            backed.fab.run("db-restore", f"--remove={name}").ended(0)
    finally:
        hosts.sql(host, "DROP TABLE shop.marked")


@pytest.mark.long
def test_one_table_comes_back_beside_the_live_one(backed: Backed) -> None:
    host = backed.host
    hosts.sql(host, "CREATE TABLE shop.words AS SELECT id FROM generate_series(1, 1000) AS id")
    backed.done("point --name=before-a-mistake")
    hosts.sql(host, "DELETE FROM shop.words WHERE id > 10")
    try:
        backed.fab.run("db-restore", "--name=before-a-mistake", "--table=shop.words").ended(
            0, "restored.words"
        )
        assert hosts.sql(host, "SELECT count(*) FROM restored.words") == "1000"
        assert hosts.sql(host, "SELECT count(*) FROM shop.words") == "10"
        side = backed.sides()
        backed.fab.run("db-restore", f"--into={side}", "--table=shop.wordz").ended(2, "no table shop.wordz")
        backed.fab.run("db-restore", f"--remove={side}").ended(0)
    finally:
        hosts.sql(host, "DROP SCHEMA IF EXISTS restored CASCADE; DROP TABLE shop.words")


@pytest.mark.long
def test_a_run_that_was_killed_is_made_up_for_by_the_next(backed: Backed) -> None:
    host = backed.host
    for words, sign in (
        ("backup --type=full", f"{REPOSITORY}/backup/shop/*F/pg_data/base"),
        ("restore --latest --into=cut", f"{SIDES}/cut/data/PG_VERSION"),
        ("restore --latest --into=cut", f"{SIDES}/cut/data/postmaster.pid"),
    ):
        before = hosts.sql(host, "SELECT pg_postmaster_start_time()")
        unit = "systemd-run --quiet --collect --unit=cut"
        hosts.output(
            host, f"rm -rf {REPOSITORY}/.seen; touch {REPOSITORY}/.seen; {unit} -- {PROGRAM} {words}"
        )
        hosts.until(
            f"{sign} is there",
            partial(succeeds, host, f"find {sign} -cnewer {REPOSITORY}/.seen | grep -q ."),
            seconds=LONG,
        )
        host.run("systemctl kill --kill-who=all --signal=KILL cut")
        made = backed.done(words.replace("cut", "whole"))
        assert made["seconds"] > 0
        if "restore" in words:
            assert (made["swept"], backed.sides()) == (["cut"], "whole")
            backed.done("drop --into=whole")
        assert hosts.sql(host, "SELECT pg_postmaster_start_time()") == before


@pytest.mark.long
def test_an_update_of_postgresql_restarts_the_live_cluster_and_no_restored_one(backed: Backed) -> None:
    started = "SELECT pg_postmaster_start_time()"
    backed.fab.run("db-restore", "--latest", "--into=beside").ended(0)
    live, beside = hosts.sql(backed.host, started), backed.in_side("beside", started)
    hosts.output(
        backed.host, "DEBIAN_FRONTEND=noninteractive apt-get --yes install --reinstall postgresql-14"
    )
    assert hosts.sql(backed.host, started) != live
    assert backed.in_side("beside", started) == beside
    backed.fab.run("db-restore", "--remove=beside").ended(0)


@pytest.mark.long
def test_a_gap_and_a_bit_that_turned_over_are_lines_of_db_status(backed: Backed) -> None:
    host = backed.host
    backed.done("backup --type=full")
    for _ in range(3):
        hosts.sql(host, "SELECT pg_current_xact_id(), pg_switch_wal()")
    hosts.until(
        "WAL is archived",
        lambda: not hosts.sql(host, "SELECT 1 FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'"),
        seconds=LONG,
    )
    archive = f"find {REPOSITORY}/archive -name '*.zst' -size +0 | sort | tail -3 | head -1"
    taken = hosts.output(host, archive)
    hosts.output(host, f"mv {taken} /tmp/taken")
    (gap,) = backed.done("continuity")["gaps"]
    assert gap["missing"] == 1
    backed.fab.run("db-status", "--section=service").ended(
        2, "segments of WAL are missing", "db-wal-continuity.md"
    )
    backed.fab.run("db-restore", "--latest").ended(2, "Nothing was changed")
    hosts.output(host, f"mv /tmp/taken {taken}")
    assert backed.done("continuity")["gaps"] == []

    largest = f"find {REPOSITORY}/backup -name '*.zst' -printf '%s %p\\n' | sort -n | tail -1 | cut -d' ' -f2"
    damaged = hosts.output(host, largest)
    flip = f"d = bytearray(open('{damaged}', 'rb').read()); d[len(d) // 2] ^= 1; open('{damaged}', 'wb').write(d)"
    hosts.output(host, f'cp -a {damaged} /tmp/whole && python3 -c "{flip}"')
    answer = backed.asks("restore-test")
    assert not answer["ok"]
    assert Path(damaged).stem in answer["message"], answer
    backed.fab.run("db-status", "--section=service").ended(2, "The last physical restore test failed")
    hosts.output(host, f"cp -a /tmp/whole {damaged}")
    backed.done("restore-test")


@pytest.mark.long
def test_a_moment_takes_the_place_of_the_live_cluster_and_the_service_serves_from_it(
    backed: Backed, lab: Lab, site: Site
) -> None:
    host = backed.host
    products = "SELECT count(*) FROM shop.products"
    wanted = hosts.sql(host, products)
    hosts.sql(host, "SELECT pg_current_xact_id(), pg_switch_wal()")
    moment = datetime.fromtimestamp(backed.moment(), UTC).isoformat()
    time.sleep(1)
    hosts.sql(host, "TRUNCATE shop.products CASCADE")
    words = ("db-restore", "--in-place", f"--time={moment}")
    backed.fab.run(*words, "--confirm=shop").ended(2, "would go on writing", "fab maintenance --on")
    backed.fab.run("maintenance", "--on").ended(0)
    backed.fab.run(*words, "--plan").ended(0, "is not in it")
    backed.fab.run(*words, "--confirm=other").ended(2, "was typed")
    done = backed.fab.run(*words, "--confirm=shop").ended(0, "was away for", "It goes on on timeline")
    print(done.output)
    assert hosts.sql(host, products) == wanted
    assert hosts.output(host, "systemctl is-active postgresql@14-main.service") == "active"
    backed.fab.run("maintenance", "--off").ended(0)
    hosts.until("it serves", site.ready, seconds=60)
    with ground_of(lab, site).shop().load(RATE / 2) as load:
        time.sleep(3)
    load.seen.lost_nothing()
    lines = json.loads(backed.fab.run("db-status", "--json", "--section=service,replication").output)
    findings = {each["check"]: each["level"] for section in lines["sections"] for each in section["findings"]}
    names = ("archiving", "physical-backup", "wal-continuity", "backup-integrity")
    assert {name: findings[name] for name in names} == dict.fromkeys(names, "ok"), findings
    backed.done("restore-test")
