"""The database's host and its disk are gone: a new one gets the cluster back from the second repository alone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks
from tests.e2e.conftest import boot, site_of
from tests.e2e.fab_runs import Fab
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(1200)]

RECEIPT = "/var/backups/slipway-copied/shop/receipt.json"
MARK = "/var/lib/slipway-copies/shop/copy.json"
ROWS = "SELECT string_agg(id::text, ',' ORDER BY id) FROM shop.oracle"
LONG = 180.0


@pytest.fixture(scope="module")
def copied() -> Iterator[Lab]:
    """A serving host with physical backups, and another that copies them."""
    for lab in boot("SLIPWAY_E2E_COPIED", "inventory/copied"):
        try:
            Playbooks(lab.site.inventory).run("site.yml").succeeded()
            hosts.until("it serves", site_of(lab).ready, seconds=60)
        except BaseException:
            lab.down()
            raise
        yield lab


@pytest.fixture(scope="module")
def fab(copied: Lab) -> Fab:
    return Fab(copied.site.inventory.name)


def copied_since(vault: Host, moment: float) -> bool:
    found = json.loads(hosts.output(vault, f"cat {MARK}"))
    return bool(found["ok"]) and found["at"] > time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def levels(fab: Fab) -> dict[str, str]:
    """The worst level of each check."""
    report = json.loads(fab.run("db-status", "--json", "--section=service,replication").output)
    order = ("ok", "warn", "unknown", "critical")
    found: dict[str, str] = {}
    for section in report["sections"]:
        for each in section["findings"]:
            found[each["check"]] = max(found.get(each["check"], "ok"), each["level"], key=order.index)
    return found


def test_a_second_run_changes_nothing_and_both_repositories_are_told(copied: Lab, fab: Fab) -> None:
    kept, vault = copied.host("kept-1"), copied.host("vault-1")
    hosts.until(
        "a copy is there", lambda: kept.run(f"grep -q '\"ok\": true' {RECEIPT}").returncode == 0, seconds=LONG
    )
    again = Playbooks(copied.site.inventory).run("playbooks/copies.yml").succeeded()
    assert again.changed == 0, again
    kept.run("systemctl start slipway-physical-shop@look.service")
    fab.run("db-backups").ended(0, "On vault-1, as of")
    assert levels(fab)["backup-copy"] == "ok"
    # Whoever deploys neither reads nor removes it; the database's host knows no way there; no key is there.
    folder = "/var/lib/slipway-copies/shop/copies"
    for words in (f"ls {folder}", f"rm -r {folder}"):
        assert "Permission denied" in hosts.refused(vault, f"runuser --user=deploy -- {words}")
    key = hosts.output(kept, "sed -n s/repo1-cipher-pass=//p /etc/slipway/shop/pgbackrest.conf").strip()
    assert len(key) == 48
    assert vault.run(f"grep -rqF {key} /etc /var/lib/slipway-copies /usr/local/lib/slipway").returncode == 1
    # With the copy's key one reads the repository, and nothing else.
    shell = hosts.output(vault, "sed -n 's/^shell = //p' /etc/slipway/shop/repository-copy.conf").strip()
    there = f"runuser --user=shop_copy -- {shell} 10.83.7.91"
    assert "does nothing else" in hosts.refused(vault, f"{there} cat /etc/passwd")
    assert "does nothing else" in hosts.refused(vault, there)


def test_host_and_disk_gone_and_the_cluster_is_back_on_a_new_one(copied: Lab, fab: Fab) -> None:
    kept, vault = copied.host("kept-1"), copied.host("vault-1")
    hosts.sql(kept, "CREATE TABLE shop.oracle AS SELECT generate_series(1, 5000) AS id")
    hosts.sql(kept, "SELECT pg_current_xact_id(), pg_switch_wal()")
    rows = hosts.sql(kept, ROWS)
    wal = "SELECT 1 FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'"
    hosts.until("WAL is archived", lambda: not hosts.sql(kept, wal), seconds=LONG)
    moment = time.time()
    hosts.until("it is copied", lambda: copied_since(vault, moment), seconds=LONG)

    kept.crash()
    copied.down(["kept-1"])
    began = time.monotonic()
    copied.up(["kept-1"])
    assert kept.run("test -e /var/lib/postgresql").returncode != 0
    playbooks = Playbooks(copied.site.inventory)
    refused = playbooks.run("site.yml")
    assert refused.status != 0
    assert "vault-1 has a copy of those that were here" in refused.output, refused
    assert kept.run("test -e /srv/shop/current").returncode != 0
    configured = time.monotonic()
    playbooks.run("playbooks/bring-back.yml").succeeded()
    given = time.monotonic()
    fab.run("db-restore", "--latest", "--in-place").ended(2, "--confirm DATABASE")
    fab.run("db-restore", "--latest", "--in-place", "--confirm=shopp").ended(2, "was typed")
    restored = fab.run("db-restore", "--latest", "--in-place", "--confirm=shop").ended(
        0, "It goes on on timeline 2"
    )
    assert hosts.sql(kept, ROWS) == rows
    back = time.monotonic()
    playbooks.run("site.yml").succeeded()
    hosts.until("it serves", site_of(copied).ready, seconds=60)
    ended = time.monotonic()
    print(
        f"an empty cluster {configured - began:.0f} s, the repository {given - configured:.0f} s, the cluster "
        f"{restored.seconds:.0f} s ({back - began:.0f} s from the loss to its rows), serving {ended - began:.0f} s"
    )
    proof = kept.run("systemctl start slipway-physical-shop@restore-test.service")
    assert proof.returncode == 0, hosts.journal(kept, "slipway-physical-shop@restore-test.service")
    hosts.until("what came after is copied, too", lambda: copied_since(vault, time.time() - 5), seconds=LONG)
    kept.run("systemctl start slipway-physical-shop@look.service")
    found = levels(fab)
    names = ("archiving", "physical-backup", "wal-continuity", "backup-integrity", "backup-copy")
    assert {name: found[name] for name in names} == dict.fromkeys(names, "ok"), found
