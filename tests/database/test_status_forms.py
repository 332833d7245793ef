"""What db-status writes for programs, what an inventory may ask for, and the host's own word, without a server."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from fabfile.database.asking import host_facts, queries, releases, reserved, ssh
from fabfile.database.checks import judging, thresholds
from fabfile.database.checks.judging import About
from fabfile.database.checks.sections import disks, service
from fabfile.database.findings import Finding, Level, Table
from fabfile.database.screen import encoding
from fabfile.errors import RefusedError
from fabfile.hosts.environment import AppHost
from tests.database.status_ground import Cluster, cluster, found, one_a_version, wrong

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 23, tzinfo=UTC)
PROGRAM = ROOT / "templates/usr/local/lib/slipway/{{ app_name }}/look-at-postgresql.j2"


def about(**facts: Any) -> About:
    return About("test", "shop", NOW, 140023, backups_expected=True, facts={"clock": 0.0, **facts})


def levels(said: Any) -> list[Level]:
    return [item.level for item in said if isinstance(item, Finding)]


def test_a_certificate_that_cannot_be_read_is_looked_for_where_the_inventory_has_it() -> None:
    beside = replace(about(certificate="none"), certificates="/etc/ssl/slipway/stall")
    (found,) = service.certificate(beside)
    assert isinstance(found, Finding)
    assert (found.level, found.command) == (
        Level.UNKNOWN,
        "openssl x509 -in /etc/ssl/slipway/stall/host.pem",
    )


def test_json_has_the_form_that_is_documented(cluster: Cluster) -> None:
    schema = json.loads((ROOT / "docs/db-status.schema.json").read_text())
    document = json.loads(encoding.encoded(cluster.look()))
    jsonschema.Draft202012Validator(schema).validate(document)
    assert schema["properties"]["version"]["const"] == encoding.VERSION


def test_json_of_a_hostile_name_has_no_escape(cluster: Cluster) -> None:
    cluster.execute('CREATE TABLE shop."a\x1b]0;title\x07\nb" (id int CHECK (id > 0))')
    cluster.execute('ALTER TABLE shop."a\x1b]0;title\x07\nb" ADD CONSTRAINT late CHECK (id > 1) NOT VALID')
    report = cluster.look()
    cluster.execute('DROP TABLE shop."a\x1b]0;title\x07\nb"')
    assert found(report, "constraints").level is Level.WARN
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]|\\u00[01]", encoding.encoded(report))


@pytest.mark.every_version("its one statement is sent to servers of every version")
def test_the_program_for_kept_connections_asks_the_same_and_is_judged_alike(cluster: Cluster) -> None:
    program = PROGRAM.read_text()
    for name in ("limits", "usage", "sessions", "prepared"):
        text = (queries.FOLDER / f"{name}.sql").read_text()
        assert text[text.index("SELECT") :].rstrip() in program, name
    asked = program.partition("<<'SQL'\n")[2].partition("\nSQL\n")[0]
    with cluster.connect() as session:
        row = session.execute(asked.encode()).fetchone()
    assert row is not None
    said = reserved.judged(about(), json.loads(json.dumps(row[0])))
    assert set(levels(said)) == {Level.OK}


@pytest.mark.parametrize(
    ("marker", "level"),
    [
        (None, Level.WARN),
        ({"at": "2026-11-22T23:00:00Z", "ok": True}, Level.OK),
        ({"at": "2026-11-21T20:00:00+00:00", "ok": True}, Level.WARN),
        ({"at": "2026-11-20T20:00:00+00:00", "ok": True}, Level.CRITICAL),
        ({"at": "2026-11-22T23:00:00Z", "ok": False, "detail": "the disk is full"}, Level.CRITICAL),
        ({"unreadable": "it is not an object"}, Level.UNKNOWN),
        # Refused before it was tried: as old as the last that was made, and never right.
        ({"at": "2026-11-22T23:00:00Z", "ok": False, "tried": False, "detail": "no room"}, Level.WARN),
        ({"at": "2026-11-20T20:00:00Z", "ok": False, "tried": False, "detail": "no room"}, Level.CRITICAL),
        ({"at": "", "ok": False, "tried": False, "detail": "no room"}, Level.WARN),
    ],
)
def test_the_record_of_the_last_backup_is_judged(marker: dict[str, Any] | None, level: Level) -> None:
    tested = {"at": "2026-11-22T23:00:00Z", "ok": True}
    assert levels(service.backups(about(latest=marker, restore_test=tested))) == [level, Level.OK]


def test_a_full_disk_is_said_once_for_all_folders_on_it() -> None:
    disk = {"device": 1, "size": 100, "free": 5, "used": 95, "inodes": 100, "inodes_free": 50}
    seen = {"server": {"places": []}, "disks": {"/a": disk, "/b": disk, "/c": None}}
    said = list(disks.disks(about(**seen)))
    assert levels(said) == [Level.CRITICAL, Level.OK]
    assert isinstance(said[-1], Table)


def test_a_revision_that_the_live_release_does_not_have_is_a_warning() -> None:
    other = [service.Revision("5d2c8f1e9a40")]
    assert levels(service.migration(about(), other)) == [Level.UNKNOWN]
    assert levels(service.migration(About("t", "s", NOW, 0, head="a3f6d8025b71"), other)) == [Level.WARN]
    assert levels(service.migration(about(), other * 2)) == [Level.CRITICAL]


def test_a_release_without_migrations_is_asked_for_no_revision(cluster: Cluster) -> None:
    manifest = {"release": "20261122T160501Z-3f2a9c1", "schema_head": None}
    head, _ = releases.OnTheHost().now({"manifest": manifest})
    assert head == judging.NO_SCHEMA
    report = cluster.look(about=replace(about(), head=head, now=datetime.now(UTC)))
    assert "migration" not in {finding.check for finding in report.findings}
    assert releases.OnTheHost().now({"manifest": None})[0] is None


def test_a_clock_that_is_off_is_said() -> None:
    assert levels(service.clock(about(clock_apart=-timedelta(seconds=9).total_seconds()))) == [Level.CRITICAL]


def test_a_clock_that_nothing_keeps_right_is_said_where_the_host_has_one_of_its_own() -> None:
    assert levels(service.clock(about(synchronised=False))) == [Level.WARN]
    assert levels(service.clock(about(synchronised=True))) == [Level.OK]
    assert levels(service.clock(about(synchronised=None))) == []


@pytest.mark.parametrize("contained", [True, False])
def test_a_host_asks_its_kernel_about_the_clock_and_a_container_does_not(
    contained: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os.path, "exists", lambda path: contained and path == "/run/systemd/container")
    found = host_facts.collect(*[str(tmp_path)] * 10)["synchronised"]
    assert found is None if contained else isinstance(found, bool)


@pytest.mark.parametrize(
    "wish",
    [
        {"nonsense": [1, 2]},
        {"connections": [90, 75]},
        {"connections": "90"},
        {"cache-hit": [5, 95]},
        {"longest-query/": [1, 2]},
        {"connections/shop": [1, 2]},
        {"longest-query/shop": [2, 1]},
        {"longest-query/shop": [-1, 2]},
        {"longest-query/shop": {"warn": 1}},
        {"longest-query/shop": [float("nan"), None]},
        {7: [1, 2]},
    ],
)
def test_a_threshold_that_cannot_be_meant_is_refused(wish: dict[str, Any]) -> None:
    (name,) = wish
    with pytest.raises(RefusedError, match=rf"db_status_thresholds.*{name}.* Nothing was read\."):
        thresholds.of(wish)


def test_a_threshold_of_the_inventory_wins() -> None:
    assert thresholds.of({"connections": [10, None]})["connections"].level(100) is Level.WARN
    reports = thresholds.of({"longest-query/reports": [1800, None]})
    assert reports["longest-query/reports"].said() == "warning from 30 min"
    assert reports["longest-query"] == thresholds.DEFAULTS["longest-query"]


def test_every_page_that_a_line_names_is_there() -> None:
    missing = [name for name in judging.RUNBOOKS if not (ROOT / f"docs/runbooks/db-{name}.md").is_file()]
    assert missing == []
    assert set(judging.PAGES.values()) <= judging.RUNBOOKS


def test_ssh_asks_nothing_and_trusts_no_unknown_host() -> None:
    host = AppHost("db-1", "192.0.2.1", 22, "deploy", Path("/k e y"), Path("/known hosts"))
    words = ssh.command(host, "true")
    assert {"BatchMode=yes", "StrictHostKeyChecking=yes", 'UserKnownHostsFile="/known hosts"'} <= set(words)
    assert words[-3:] == ["--", "192.0.2.1", "true"]


__all__ = ["cluster", "one_a_version", "wrong"]
