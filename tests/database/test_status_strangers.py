"""What a large, shared or unusual database made db-status call right, or wrong, that was not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fabfile import accepted, schema
from fabfile.database.asking import down, host_facts, refusals, releases, reserved, ssh
from fabfile.database.asking.connection import Tunnel, apart
from fabfile.database.asking.place import Database
from fabfile.database.checks import acceptances, counters, planned
from fabfile.database.checks.counters import Counters, Memory
from fabfile.database.checks.judging import About
from fabfile.database.checks.sections import bloat, disks, drift, replication, service, settings, tables
from fabfile.database.checks.sections.replication import Replica
from fabfile.database.checks.thresholds import Threshold
from fabfile.database.findings import Finding, Level, Report, Section, Server
from fabfile.errors import RefusedError
from fabfile.hosts.connection import UnreachableError
from fabfile.hosts.environment import AppHost
from tests.database.clusters import programs
from tests.database.status_ground import HEAD, Cluster, cluster, found, one_a_version, until, wrong
from tests.unit.plugins.test_postgresql_harness import OS_USER

__all__ = ["cluster", "one_a_version"]
NOW = datetime(2026, 11, 23, tzinfo=UTC)
HOST = AppHost("db-1", "192.0.2.1", 22, "deploy", Path("/key"), Path("/known"))
PLACE = Database(HOST, "shop", "shop", 5432, "14", "main")
AT_ONCE = Threshold(0, 0, "s")
DISK = {"device": 7, "size": 100, "free": 3, "used": 97, "inodes": 0, "inodes_free": 0}


def about(**more: Any) -> About:
    return About("test", "shop", NOW, 140023, **more)


def judged(said: Any) -> list[Finding]:
    return [item for item in said if isinstance(item, Finding)]


def test_many_sequences_that_moved_hide_none_that_may_not_be_read(cluster: Cluster) -> None:
    every = "DO $$ BEGIN FOR n IN 1..210 LOOP %s END LOOP; END $$"
    cluster.execute(
        every.replace(
            "%s",
            "EXECUTE 'CREATE SEQUENCE shop.s' || n; PERFORM setval('shop.s' || n, 9e6::bigint); "
            "EXECUTE 'GRANT SELECT ON shop.s' || n || ' TO slipway_ops';",
        ),
        "CREATE SEQUENCE shop.unseen",
        "REVOKE ALL ON shop.unseen FROM slipway_ops",
    )
    report = cluster.look()
    cluster.execute("DROP SEQUENCE shop.unseen", every.replace("%s", "EXECUTE 'DROP SEQUENCE shop.s' || n;"))
    assert found(report, "sequences").level is Level.UNKNOWN
    assert "1 sequences may not be read, such as shop.unseen" in found(report, "sequences").sentence


@pytest.mark.parametrize("owned", [True, False])
def test_a_sequence_ends_where_the_column_that_it_feeds_does(cluster: Cluster, owned: bool) -> None:
    cluster.execute(
        "CREATE SEQUENCE shop.wide", "CREATE TABLE shop.narrow (id int DEFAULT nextval('shop.wide'))"
    )
    if owned:
        cluster.execute("ALTER SEQUENCE shop.wide OWNED BY shop.narrow.id")
    cluster.execute("SELECT setval('shop.wide', 2147480000)")
    finding = found(cluster.look(), "sequences")
    cluster.execute("DROP TABLE shop.narrow", "DROP SEQUENCE IF EXISTS shop.wide")
    assert finding.level is Level.CRITICAL
    assert "for its column shop.narrow.id is integer" in finding.sentence
    assert finding.command == "", "a wider sequence would not help"


@pytest.mark.parametrize("word", ["off", "false", "0", "no"])
def test_autovacuum_that_is_off_for_a_quiet_table_is_named_in_any_spelling(
    cluster: Cluster, word: str
) -> None:
    cluster.execute(f"CREATE TABLE shop.quiet (id int) WITH (autovacuum_enabled = '{word}')")
    report = cluster.look()
    cluster.execute("DROP TABLE shop.quiet")
    assert wrong(report).keys() == {"autovacuum"}
    assert found(report, "autovacuum").subjects == ("shop.quiet",)


def test_a_tables_own_scale_factor_says_when_it_is_due(cluster: Cluster) -> None:
    cluster.execute(
        "CREATE TABLE shop.own (id int) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 7)",
        "INSERT INTO shop.own SELECT generate_series(1, 10000)", "ANALYZE shop.own",
    )  # fmt: skip
    with cluster.connect() as session:
        row = session.execute("SELECT 1 FROM pg_class WHERE relname = 'own' AND reltuples = 10000").fetchone()
    report = cluster.look()
    due = [each for each in _used(cluster) if each.name == "own"]
    cluster.execute("DROP TABLE shop.own")
    assert row == (1,)
    assert wrong(report) == {}
    assert due[0].due == pytest.approx(107)


def _used(cluster: Cluster) -> list[tables.Used]:
    from fabfile.database.asking import queries

    with cluster.connect() as session:
        return queries.rows(session, tables.Used, "tables", None, queries.FOLDER, **tables.PARTS)


def test_a_role_that_has_all_its_sessions_is_no_full_server(cluster: Cluster) -> None:
    cluster.execute("ALTER ROLE shop CONNECTION LIMIT 1", "ALTER ROLE outsider CONNECTION LIMIT 1")
    holder = cluster.connect("shop", application_name="nightly")
    try:
        with pytest.raises(psycopg.OperationalError) as refused:
            cluster.connect("shop")
        report = cluster.look()
    finally:
        cluster.execute("ALTER ROLE shop CONNECTION LIMIT -1", "ALTER ROLE outsider CONNECTION LIMIT -1")
    said = refusals.of(HOST, "shop", "shop", refused.value)
    assert isinstance(said, refusals.RoleFullError)
    assert wrong(report).keys() == {"role-limits"}
    finding = found(report, "role-limits")
    assert finding.level is Level.CRITICAL
    assert (
        f"shop has 1 of the 1 sessions it may have: pid {holder.info.backend_pid} (shop, nightly)"
        in finding.sentence
    )


def test_who_looks_has_another_way_in_when_its_role_is_full(cluster: Cluster) -> None:
    cluster.execute(
        "CREATE ROLE slipway_signal LOGIN IN ROLE pg_monitor", "ALTER ROLE slipway_ops CONNECTION LIMIT 1"
    )
    ident = cluster.data / "pg_ident.conf"
    before = ident.read_text()
    ident.write_text(
        before
        + f"tests {OS_USER} slipway_signal\n"
        + ("tests root slipway_signal\n" if os.geteuid() == 0 else "")
    )
    cluster.execute("SELECT pg_reload_conf()")
    held = cluster.connect("slipway_ops")
    way = Tunnel(replace(PLACE, port=cluster.port), cluster.directory, None, 0.0)  # type: ignore[arg-type]
    try:
        until(lambda: _let_in(cluster, "slipway_signal"))
        session, note = way.to_look("slipway db-status")
        with session:
            assert session.info.user == "slipway_signal"
        assert "slipway_ops has all the sessions that it may have" in note
        assert "Customers are served" in note
    finally:
        held.close()
        ident.write_text(before)
        cluster.execute(
            "ALTER ROLE slipway_ops CONNECTION LIMIT -1",
            "DROP ROLE slipway_signal",
            "SELECT pg_reload_conf()",
        )


def _let_in(cluster: Cluster, role: str) -> bool:
    try:
        cluster.connect(role).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ('connection failed: FATAL:  too many connections for database "shop"', refusals.RoleFullError),
        ("connection failed: FATAL:  remaining connection slots are reserved for roles", refusals.FullError),
        ("connection failed: FATAL:  sorry, too many clients already", refusals.FullError),
        ("connection failed: FATAL:  the database system is starting up", refusals.StartingError),
        (
            'connection failed: FATAL:  role "slipway_ops" is not permitted to log in',
            refusals.RefusedHereError,
        ),
        ('connection failed: FATAL:  database "shop" does not exist', refusals.RefusedHereError),
        ("connection failed: Connection refused\n\tIs the server running?", refusals.DownError),
    ],
)
def test_a_refusal_is_told_from_a_server_that_is_down(said: str, kind: type) -> None:
    failure = refusals.of(HOST, "shop", "slipway_ops", psycopg.OperationalError(said))
    assert type(failure) is kind
    server, parts = down.look(PLACE, about(facts={"unit": {"ActiveState": "active"}}), failure)
    finding = parts[0].findings[0]
    assert failure.reason in finding.sentence, "the server's own words are on the screen"
    if kind is refusals.RefusedHereError:
        assert (server.role, finding.level) == ("unseen", Level.UNKNOWN)
    if kind is refusals.StartingError:
        assert "restart" not in finding.command


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ('FATAL:  could not access file "timescaledb": No such file or directory', "--check --diff"),
        ("PANIC:  could not write to file pg_wal/xlogtemp.7: No space left on device", "--section service"),
        ("FATAL:  could not map anonymous shared memory: Cannot allocate memory", "--check --diff"),
        ("PANIC:  could not locate a valid checkpoint record", "journalctl"),
    ],
)
def test_a_server_that_cannot_start_is_quoted_and_no_start_advised(words: str, command: str) -> None:
    failure = refusals.of(HOST, "shop", "slipway_ops", psycopg.OperationalError("No such file or directory"))
    facts = {
        "unit": {"ActiveState": "failed", "Result": "exit-code"},
        "server": {"places": [], "last_words": words},
    }
    finding = down.look(PLACE, about(facts=facts), failure)[1][0].findings[0]
    assert words.replace(":  ", ": ") in finding.sentence
    assert command in finding.command
    assert "systemctl start" not in finding.command


@pytest.mark.parametrize(
    ("pending", "facts", "level"),
    [
        (
            ("shared_preload_libraries", "pg_stat_statements, timescaledb"),
            {"libraries": ["pg_stat_statements"]},
            "next-start",
        ),
        (("huge_pages", "on"), {"huge_pages": 0}, "next-start"),
        (("huge_pages", "on"), {"huge_pages": 512}, "pending-restart"),
        (
            ("shared_preload_libraries", "pg_stat_statements"),
            {"libraries": ["pg_stat_statements"]},
            "pending-restart",
        ),
    ],
)
def test_a_restart_that_the_server_would_not_survive_is_not_advised(
    pending: tuple[str, str], facts: dict[str, Any], level: str
) -> None:
    waiting = [drift.Setting(pending[0], "x", True, "", 0, False)]
    said = judged(drift.drift(about(facts=facts), waiting, [], [drift.Pending(*pending)]))[0]
    assert said.check == level
    assert ("postgresql_restart_allowed" in said.command) == (level == "pending-restart")


def test_only_who_replays_is_a_standby() -> None:
    received = Replica("pg_receivewal", "socket", "streaming", "async", "receiver", None, 0)
    logical = Replica("sub", "192.0.2.9", "streaming", "async", "logical", 0, 0)
    said = judged(replication.replicas(about(replicas=1), [received, logical]))
    assert said[0].level is Level.CRITICAL
    assert "0 standbys are connected, 1 expected" in said[0].sentence
    assert "pg_receivewal stores WAL and replays none; sub reads a logical slot" in said[0].sentence
    assert [each.check for each in said] == ["replicas"], "nobody is said to be 0 B behind"


def test_pg_receivewal_is_seen_as_what_it_is(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = cluster.directory / "received"
    identity: dict[str, Any] = {"user": OS_USER, "extra_groups": []} if os.geteuid() == 0 else {}
    folder.mkdir()
    shutil.chown(folder, OS_USER)
    receiving = subprocess.Popen(
        [programs(15) / "pg_receivewal", "-D", folder, "-h", cluster.directory, "-p", "5432", "-U", "postgres"],
        cwd="/", stderr=subprocess.PIPE, **identity,
    )  # fmt: skip
    try:
        watcher = cluster.connect()
        known = "SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'"
        until(lambda: watcher.execute(known).fetchone() == (True,))
        report = cluster.look(about=About("test", "shop", datetime.now(UTC), 0, head=HEAD, replicas=1))
    finally:
        receiving.terminate()
        receiving.wait()
    assert found(report, "replicas").level is Level.CRITICAL
    assert "pg_receivewal stores WAL" in found(report, "replicas").sentence


def test_each_of_the_servers_disks_is_judged_and_what_cannot_be_seen_is_unknown() -> None:
    places = [{"what": "data", "path": "/data", **DISK, "device": 1, "free": 90, "used": 10},
              {"what": "WAL", "path": "/wal/pg_wal", **DISK},
              {"what": "a tablespace", "path": "/ts", "problem": "No such file or directory"}]  # fmt: skip
    facts = {"server": {"places": places}, "disks": {"/boot": {**DISK, "device": 9, "free": 50, "used": 50}}}
    said = judged(disks.disks(about(facts=facts)))
    assert [(each.level, each.sentence.partition(" % full")[0]) for each in said] == [
        (
            Level.UNKNOWN,
            "How full the disk of a tablespace (/ts) is, is not known: No such file or directory.",
        ),
        (Level.OK, "The disk of data (/data) is 10"),
        (Level.CRITICAL, "The disk of WAL (/wal/pg_wal) is 97"),
        (Level.OK, "The disk of /boot is 50"),
    ]
    assert disks.free_for_wal(about(facts=facts)) == 3
    blind = judged(disks.disks(about(facts={"server": {"problem": "sudo: a password is required"}})))
    assert blind[0].level is Level.UNKNOWN


def test_a_migration_that_runs_for_minutes_is_told_as_one_and_is_not_to_be_killed(cluster: Cluster) -> None:
    assert planned.what("shop_migrate", "shop-migrate/2026", "SELECT 1") == "the migration of release 2026"
    assert planned.what("shop", "shop-migrate/2026", "SELECT 1") == "", "a name that anybody may choose"
    holder = cluster.connect("shop")
    holder.execute("BEGIN")
    holder.execute("LOCK TABLE shop.orders IN ROW EXCLUSIVE MODE")
    builder = cluster.connect()
    build = "CREATE INDEX CONCURRENTLY later ON shop.orders (state)"
    thread = threading.Thread(target=builder.execute, args=(build,))
    thread.start()
    watcher = cluster.connect()
    try:
        until(
            lambda: watcher.execute("SELECT count(*) FROM pg_stat_progress_create_index").fetchone() == (1,)
        )
        report = cluster.look(longest_query=AT_ONCE)
    finally:
        holder.execute("ROLLBACK")
        thread.join()
        cluster.execute("DROP INDEX IF EXISTS shop.later")
    finding = found(report, "longest-query")
    assert finding.level is Level.OK
    assert f"pid {builder.info.backend_pid} (postgres), a create index concurrently" in finding.sentence
    assert ": create index concurrently of shop.orders, " in finding.sentence
    assert "(for planned: warning from 2 h, critical from 6 h)" in finding.sentence


def test_counters_are_judged_by_what_came_since_an_earlier_look(tmp_path: Path) -> None:
    memory, began = Memory("lab", tmp_path), 0.0
    first = Counters(1e6, began, {"requested": 900, "timed": 10})
    assert not memory.since("checkpoints", first).compared
    later = memory.since("checkpoints", replace(first, at=1e6 + 7200, counts={"requested": 901, "timed": 40}))
    assert (later.compared, later.seconds, dict(later.counts)) == (True, 7200, {"requested": 1, "timed": 30})
    reset = memory.since("checkpoints", Counters(1e6 + 9000, 1e6 + 8999, {"requested": 0, "timed": 0}))
    assert not reset.compared
    (tmp_path / "lab-checkpoints.json").write_text("[{")
    assert counters.load("lab-checkpoints", tmp_path) == []


CHAIN = [
    schema.Revision(each, kind) for each, kind in (("a1", "expand"), ("a2", "expand"), ("a3", "contract"))
]


@pytest.mark.parametrize(
    ("applied", "head", "level"),
    [
        ("a3", "a3", Level.OK), ("a2", "a3", Level.OK), ("a1", "a2", Level.CRITICAL), ("a2", "a1", Level.OK),
        ("a3", "a1", Level.CRITICAL), ("zz", "a3", Level.CRITICAL),
    ],
)  # fmt: skip
def test_a_schema_that_the_live_release_can_run_on_is_right(applied: str, head: str, level: Level) -> None:
    said = judged(service.migration(about(head=head, chains=[CHAIN]), [service.Revision(applied)]))
    assert [each.level for each in said] == [level]


def test_a_slow_connect_is_no_clock_that_is_wrong() -> None:
    assert apart(clock=103.0, asked=100.0, answered=110.0) == 0
    assert apart(clock=95.0, asked=100.0, answered=110.0) == -5
    assert apart(clock=113.0, asked=100.0, answered=110.0) == 3


def test_a_banner_of_the_login_shell_is_passed_over_or_quoted() -> None:
    answer = host_facts.MARK + json.dumps({"clock": 1.0})
    for printed, expected in ((f"Authorised use only\n{answer}", 1.0), ("Authorised use only", None)):
        process = subprocess.Popen(
            [sys.executable, "-c", f"print({printed!r})"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with process:
            way = Tunnel(PLACE, Path("/"), process, 0.0)
            if expected is None:
                with pytest.raises(UnreachableError, match="printed 'Authorised use only'"):
                    _ = way.facts
            else:
                assert way.facts["clock"] == expected


ENTRY = {
    "check": "invalid-indexes",
    "of": ["shop.a"],
    "reason": "built anew in January",
    "until": "2027-01-31",
}


def report(*names: str, level: Level = Level.WARN) -> Report:
    finding = Finding("invalid-indexes", level, "Invalid.", subjects=names)
    return Report("t", "shop", Server("db-1", "primary"), NOW, 0.0, (Section("tables", (finding,)),))


def test_what_is_accepted_wakes_nobody_until_its_end_and_covers_no_other() -> None:
    entries = acceptances.load([ENTRY])
    assert acceptances.applied(report("shop.a"), entries, True).exit_code == 0
    assert acceptances.applied(report("shop.a", "shop.b"), entries, True).exit_code == 1
    assert acceptances.applied(report("shop.a", level=Level.CRITICAL), entries, True).exit_code == 2
    over = acceptances.applied(
        report("shop.a"), acceptances.load([{**ENTRY, "until": date(2026, 1, 1)}]), True
    )
    assert over.exit_code == 1
    assert "which is over" in repr(over.findings)
    needless = acceptances.applied(report("shop.c"), entries, True)
    assert "is right now: take the entry out" in repr(needless.findings)


@pytest.mark.parametrize(
    "wish",
    [
        {"reason": "short"},
        {"until": "soon"},
        {"of": "shop.a"},
        {"level": "bad"},
        {"more": 1},
        {"until": datetime(2027, 1, 1)},
    ],
)
def test_an_acceptance_that_cannot_be_meant_is_refused(wish: dict[str, Any]) -> None:
    with pytest.raises(RefusedError, match=r"db_status_accepted.* Nothing was read\."):
        acceptances.load([{**ENTRY, **wish}])
    assert accepted.SHORTEST_REASON == 10


def test_a_section_that_was_not_read_is_not_right() -> None:
    unread = Report(
        "t", "shop", Server("db-1", "primary"), NOW, 0.0, (Section("tables", problem="it was not looked at"),)
    )
    assert unread.exit_code == 3


def test_the_live_release_is_asked_for_again_while_somebody_watches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    monkeypatch.setattr(ssh, "command", lambda *_words: ["cat", str(said)])
    monkeypatch.setattr(releases, "SECONDS", 0.0)
    chain = [{"id": "a1", "kind": "expand"}]
    said.write_text(
        'banner\nslipway-manifests\n{"schema_head": "a1"}{"schema_revisions": [{"id": "a1", "kind": "expand"}]}'
    )
    asked = releases.OnAnother(HOST, "shop")
    assert asked.now({}) == ("a1", [schema.of_manifest({"schema_revisions": chain})])
    said.write_text('slipway-manifests\n{"schema_head": "a2"}\n{"cut off')
    assert asked.now({}) == ("a2", [])
    asked.close()


@pytest.mark.parametrize(
    ("one", "command"),
    [
        (
            settings.Collation("database", "", "shop"),
            "REINDEX DATABASE CONCURRENTLY shop; ALTER DATABASE shop REFRESH COLLATION VERSION;",
        ),
        (
            settings.Collation("collation", "public", "de-x"),
            'REINDEX DATABASE CONCURRENTLY shop; ALTER COLLATION public."de-x" REFRESH VERSION;',
        ),
    ],
)
def test_what_is_to_be_typed_after_a_change_of_order_ends_the_finding(
    cluster: Cluster, one: settings.Collation, command: str
) -> None:
    (finding,) = judged(settings.collations(about(), [one]))
    assert finding.command == command
    with cluster.connect() as session:
        session.execute(finding.command.partition(";")[0].encode())


@pytest.mark.every_version("the view's columns are each extension's own", of=(14, 17))
def test_statements_are_counted_wherever_their_extension_is(cluster: Cluster) -> None:
    cluster.execute("CREATE SCHEMA counting", "ALTER EXTENSION pg_stat_statements SET SCHEMA counting")
    cluster.execute("GRANT USAGE ON SCHEMA counting TO slipway_ops")
    report = cluster.look()
    cluster.execute("ALTER EXTENSION pg_stat_statements SET SCHEMA public", "DROP SCHEMA counting")
    assert wrong(report) == {}
    assert "of all statements' time" in found(report, "statements").sentence


def test_wal_that_is_meant_to_be_kept_is_no_growth(cluster: Cluster) -> None:
    before = found(cluster.look(), "wal-size").sentence
    cluster.execute("ALTER SYSTEM SET wal_keep_size = '9GB'", "SELECT pg_reload_conf()")
    with cluster.connect() as session:
        kept = "SELECT current_setting('wal_keep_size')"
        until(lambda: session.execute(kept).fetchone() == ("9GB",))
        after = found(cluster.look(), "wal-size").sentence
        session.execute("ALTER SYSTEM RESET wal_keep_size")
        session.execute("SELECT pg_reload_conf()")
        until(lambda: session.execute(kept).fetchone() == ("0",))
    assert "stay within (1.0 GB)" in before
    assert "stay within (10 GB)" in after


def test_a_large_table_that_nobody_measured_is_not_known_to_be_right(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.execute(
        "CREATE TABLE shop.large AS SELECT n, repeat('x', 500) FROM generate_series(1, 10000) AS n",
        "ANALYZE shop.large",
    )
    monkeypatch.setattr(bloat, "MOST_PAGES", 1)
    report = cluster.look(bloat=Threshold(1 << 18, 1 << 20, "B"))
    cluster.execute("DROP TABLE shop.large")
    assert wrong(report).keys() == {"bloat-unmeasured"}
    assert found(report, "bloat-unmeasured").level is Level.UNKNOWN
    assert found(report, "bloat-unmeasured").subjects == ("shop.large",)


def test_what_a_kept_connection_saw_is_found_behind_a_banner_and_over_several_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = 'Authorised use only\n{"limits" : {"used" : 97}, "usage" : [{"role":"shop"}, \n {"role":"ops"}]}\n'
    monkeypatch.setattr(ssh, "command", lambda *_words: ["printf", "%s", said])
    answer = reserved._ask(PLACE)
    assert answer == {"limits": {"used": 97}, "usage": [{"role": "shop"}, {"role": "ops"}]}
    monkeypatch.setattr(ssh, "command", lambda *_words: ["echo", "Authorised use only"])
    with pytest.raises(ValueError, match="it printed 'Authorised use only'"):
        reserved._ask(PLACE)
