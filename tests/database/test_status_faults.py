"""Each fault is made on a real server, and said."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from fabfile.database.asking import queries, refusals
from fabfile.database.checks import thresholds
from fabfile.database.checks.judging import About
from fabfile.database.checks.thresholds import Threshold
from fabfile.database.findings import Level
from fabfile.hosts.environment import AppHost
from tests.database.status_ground import HEAD, Cluster, cluster, found, one_a_version, running, until, wrong
from tests.unit.plugins.test_postgresql_harness import owned_directory, run_as_owner

AT_ONCE = Threshold(0, 0, "s")
FILES = sorted(queries.FOLDER.glob("*.sql"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_query_says_its_purpose_versions_and_privilege(file: Path) -> None:
    header = queries.HEADER.match(file.read_text())
    assert header is not None
    assert int(header["floor"]) >= 14


def test_the_root_of_a_chain_of_locks_is_named(cluster: Cluster) -> None:
    root = cluster.connect("shop", application_name="root of\x1b[2J it")
    root.execute("BEGIN")
    root.execute("UPDATE shop.orders SET state = 'x' WHERE id = 1")
    middle, last = cluster.connect("shop"), cluster.connect("shop")
    middle.execute("BEGIN")
    middle.execute("UPDATE shop.orders SET state = 'x' WHERE id = 2")
    threads = [
        threading.Thread(
            target=session.execute, args=(f"UPDATE shop.orders SET state = 'y' WHERE id = {row}",)
        )
        for session, row in ((middle, 1), (last, 2))
    ]
    for thread in threads:
        thread.start()
    try:
        watcher = cluster.connect()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        until(lambda: watcher.execute(waiting).fetchone() == (2,))
        report = cluster.look(blocked=AT_ONCE)
    finally:
        root.execute("ROLLBACK")
        threads[0].join()
        middle.execute("ROLLBACK")
        threads[1].join()
    finding = found(report, "blocked")
    assert finding.level is Level.CRITICAL
    assert "2 sessions wait for a lock" in finding.sentence
    # From 16 on the server itself writes what is not printable in an application's name as \x1b.
    unseen = "?" if cluster.version < 16 else r"\x1b"
    assert f"the root is pid {root.info.backend_pid} (shop, root of{unseen}[2J it)" in finding.sentence
    assert finding.command == f"fab db-kill {root.info.backend_pid} --terminate --env test"


def test_who_is_idle_in_a_transaction_is_named(cluster: Cluster) -> None:
    session = cluster.connect("shop")
    session.execute("BEGIN")
    session.execute("SELECT 1")
    report = cluster.look(idle_in_transaction=AT_ONCE, oldest_transaction=AT_ONCE)
    for check in ("idle-in-transaction", "oldest-transaction"):
        assert found(report, check).level is Level.CRITICAL
        assert f"pid {session.info.backend_pid}" in found(report, check).sentence


def test_a_long_query_is_named_without_its_literals(cluster: Cluster) -> None:
    session = cluster.connect("shop")
    pid = session.info.backend_pid
    thread = threading.Thread(target=lambda: _until_ended(session, "SELECT pg_sleep(600), 'a secret'"))
    thread.start()
    watcher = cluster.connect()
    state = "SELECT state FROM pg_stat_activity WHERE pid = %s"
    until(lambda: watcher.execute(state, (pid,)).fetchone() == ("active",))
    report = cluster.look(longest_query=AT_ONCE)
    watcher.execute("SELECT pg_terminate_backend(%s)", (pid,))
    thread.join()
    assert found(report, "longest-query").command == f"fab db-kill {pid} --env test"
    assert "a secret" not in repr(report.sections)


def test_a_backup_takes_its_time_and_who_does_not_is_named_beside_it(cluster: Cluster) -> None:
    snapshot, dump = (
        cluster.connect("slipway_backup", application_name=name) for name in ("backup", "pg_dump")
    )
    snapshot.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    snapshot.execute("SELECT pg_export_snapshot()")
    pid = dump.info.backend_pid
    thread = threading.Thread(target=lambda: _until_ended(dump, "SELECT pg_sleep(600)"))
    thread.start()
    watcher = cluster.connect()
    state = "SELECT state FROM pg_stat_activity WHERE pid = %s"
    own = thresholds.of({"longest-query/slipway_backup": [0, 0]})
    try:
        until(lambda: watcher.execute(state, (pid,)).fetchone() == ("active",))
        alone = cluster.look(longest_query=AT_ONCE, oldest_transaction=AT_ONCE, idle_in_transaction=AT_ONCE)
        forgotten = cluster.connect("shop")
        forgotten.execute("BEGIN")
        forgotten.execute("SELECT 1")
        beside = cluster.look(longest_query=AT_ONCE, oldest_transaction=AT_ONCE, idle_in_transaction=AT_ONCE)
        strict = cluster.look(about=About("test", "shop", datetime.now(UTC), 0, head=HEAD, thresholds=own))
    finally:
        watcher.execute("SELECT pg_terminate_backend(%s)", (pid,))
        thread.join()
    assert wrong(alone) == {}
    running = found(alone, "longest-query").sentence
    assert f"A query of pid {pid} (slipway_backup, pg_dump)" in running
    assert running.endswith("(for slipway_backup: warning from 2 h, critical from 6 h).")
    assert wrong(beside).keys() == {"oldest-transaction", "idle-in-transaction"}
    for check in ("oldest-transaction", "idle-in-transaction"):
        assert f"pid {forgotten.info.backend_pid} (shop" in found(beside, check).sentence
    assert wrong(strict).keys() == {"longest-query"}


def _until_ended(session: psycopg.Connection[tuple[object, ...]], statement: str) -> None:
    with pytest.raises(psycopg.errors.AdminShutdown):
        session.execute(statement.encode())


def test_a_prepared_transaction_is_found_by_its_name(cluster: Cluster) -> None:
    session = cluster.connect()
    session.execute("BEGIN")
    session.execute("UPDATE shop.orders SET state = 'x' WHERE id = 3")
    session.execute("PREPARE TRANSACTION 'left behind'")
    report = cluster.look(prepared_transactions=AT_ONCE)
    session.execute("ROLLBACK PREPARED 'left behind'")
    assert found(report, "prepared-transactions").level is Level.CRITICAL
    assert "left behind" in found(report, "prepared-transactions").sentence


def test_an_archive_command_that_keeps_nothing_is_no_archive(cluster: Cluster) -> None:
    fresh = found(cluster.look(), "archiving")
    wanted = About("test", "shop", datetime.now(UTC), 0, head=HEAD, physical_expected=True)
    missed = found(cluster.look(about=wanted), "archiving")
    assert (fresh.level, fresh.sentence) == (Level.OK, "WAL is not archived: true keeps nothing.")
    assert (missed.level, missed.runbook) == (Level.CRITICAL, "db-archiving.md")
    assert "goes nowhere (true keeps nothing)" in missed.sentence


def test_an_archive_command_that_fails_is_said(cluster: Cluster) -> None:
    with cluster.connect() as session:
        session.execute("ALTER SYSTEM SET archive_command = 'false'")
        session.execute("SELECT pg_reload_conf()")
        session.execute("INSERT INTO shop.orders (state) VALUES ('x')")
        session.execute("SELECT pg_switch_wal()")
        failed = "SELECT last_failed_time > coalesce(last_archived_time, '-infinity') FROM pg_stat_archiver"
        until(lambda: session.execute(failed).fetchone() == (True,))
        lenient, strict = cluster.look(), cluster.look(archiving=AT_ONCE)
        session.execute("ALTER SYSTEM RESET archive_command")
        session.execute("SELECT pg_reload_conf()")
        until(lambda: session.execute(failed).fetchone() == (False,))
    assert found(lenient, "archiving").level is Level.WARN
    assert found(strict, "archiving").level is Level.CRITICAL
    assert "archive_command" in found(lenient, "settings-drift").sentence
    assert wrong(cluster.look()) == {}


def test_settings_from_elsewhere_and_waiting_ones_are_named(cluster: Cluster) -> None:
    cluster.execute("ALTER SYSTEM SET max_connections = 50")
    cluster.execute("SELECT pg_reload_conf()")
    with cluster.connect() as session:
        pending = "SELECT pending_restart FROM pg_settings WHERE name = 'max_connections'"
        until(lambda: session.execute(pending).fetchone() == (True,))
    report = cluster.look()
    cluster.execute("ALTER SYSTEM RESET max_connections")
    cluster.execute("SELECT pg_reload_conf()")
    assert "max_connections" in found(report, "pending-restart").sentence
    assert found(report, "settings-files").level is Level.OK
    with cluster.connect() as session:
        until(lambda: session.execute(pending).fetchone() == (False,))


@pytest.mark.parametrize(
    ("name", "line", "check"),
    [
        ("pg_hba.conf", "local all all nonsense\n", "hba"),
        ("postgresql.conf", "work_mem = 'much'\n", "settings-files"),
    ],
)
def test_a_line_the_server_refuses_is_critical(cluster: Cluster, name: str, line: str, check: str) -> None:
    file = cluster.data / name
    before = file.read_text()
    file.write_text(before + line)
    report = cluster.look()
    file.write_text(before)
    assert wrong(report).keys() == {check}
    assert found(report, check).level is Level.CRITICAL


@pytest.mark.every_version("14 does not say what it refuses of pg_ident.conf")
@pytest.mark.parametrize("line", ["tests alone\n", "tests /( shop\n"])
def test_a_mapping_that_the_server_refuses_is_critical(cluster: Cluster, line: str) -> None:
    file = cluster.data / "pg_ident.conf"
    before = file.read_text()
    file.write_text(before + line)
    report = cluster.look()
    file.write_text(before)
    if cluster.version < 15:
        assert not [each for each in report.findings if each.check == "ident"]
        return
    assert wrong(report).keys() == {"ident"}
    finding = found(report, "ident")
    assert finding.level is Level.CRITICAL
    assert finding.runbook == "db-hba.md"
    assert f"1 lines the server refuses, line {len(before.splitlines()) + 1}: " in finding.sentence
    assert found(cluster.look(), "ident").sentence == "pg_ident.conf has no error."


def test_a_refused_mapping_lets_nobody_in_by_it_after_a_restart() -> None:
    with running(15) as server:
        server.close()
        file = server.data / "pg_ident.conf"
        file.write_text(file.read_text() + "tests alone\n")
        server.execute("SELECT pg_reload_conf()")
        server.execute("SELECT 1")
        server.stop("fast")
        server.start()
        with pytest.raises(psycopg.OperationalError, match="authentication failed"):
            server.connect()


def test_a_line_that_lets_everybody_in_is_a_warning(cluster: Cluster) -> None:
    file = cluster.data / "pg_hba.conf"
    before = file.read_text()
    file.write_text(before + "host all all 192.0.2.0/24 trust\n")
    report = cluster.look()
    file.write_text(before)
    assert wrong(report).keys() == {"access"}


def test_who_is_not_privileged_sees_no_false_ok(cluster: Cluster) -> None:
    report = cluster.look("outsider")
    assert report.exit_code == 3
    unknown = {each.check for each in report.findings if each.level is Level.UNKNOWN}
    assert {"privileges", "connections", "blocked", "replicas", "archiving", "wal-size", "hba"} <= unknown


def test_a_right_that_is_missing_is_named_with_what_grants_it(cluster: Cluster) -> None:
    cluster.execute("REVOKE SELECT ON pg_hba_file_rules FROM slipway_ops")
    report = cluster.look()
    cluster.execute("GRANT SELECT ON pg_hba_file_rules TO slipway_ops")
    assert wrong(report).keys() == {"hba"}
    finding = found(report, "hba")
    assert finding.level is Level.UNKNOWN
    assert "lacks a right: permission denied for view pg_hba_file_rules" in finding.sentence
    assert finding.command == "ansible-playbook -i inventory/test playbooks/database.yml"


def test_what_cannot_be_read_in_time_is_unknown_and_the_rest_goes_on(cluster: Cluster) -> None:
    session = cluster.connect()
    session.execute("BEGIN")
    session.execute("LOCK TABLE shop.alembic_version IN ACCESS EXCLUSIVE MODE")
    report = cluster.look()
    session.execute("ROLLBACK")
    assert wrong(report).keys() == {"migration"}
    assert found(report, "migration").level is Level.UNKNOWN


def test_an_expected_replica_that_is_missing_and_a_standby_itself(cluster: Cluster) -> None:
    with with_standby(cluster.version) as (primary, standby):
        watcher = primary.connect()
        connected = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        until(lambda: watcher.execute(connected).fetchone() == (1,))
        seen = standby.look()
        assert seen.server.role == "standby"
        assert wrong(seen) == {}
        assert "1 standby is connected" in found(primary.look(), "replicas").sentence
        with standby.connect() as session:
            session.execute("SELECT pg_wal_replay_pause()")
        assert "replay" in wrong(standby.look())
        standby.stop()
        until(lambda: watcher.execute(connected).fetchone() == (0,))
        expected = About("test", "shop", datetime.now(UTC), 0, head=HEAD, replicas=1)
        missing = found(primary.look(about=expected), "replicas")
        assert missing.level is Level.CRITICAL


def test_a_standby_that_is_fed_from_an_archive_alone_is_judged_by_what_it_replayed(cluster: Cluster) -> None:
    """It has no receiver, and that is meant to be so."""
    with with_standby(cluster.version) as (primary, standby):
        archive = owned_directory("slipway-archive-")
        standby.stop("fast")
        with (standby.data / "postgresql.conf").open("a") as settings:
            settings.write(f"primary_conninfo = ''\nrestore_command = 'cp {archive}/%f %p'\n")
        standby.start()
        assert wrong(standby.look()).keys() == {"archive-replay"}
        assert "has replayed no transaction yet" in found(standby.look(), "archive-replay").sentence

        primary.execute("CREATE TABLE shop.later ()")
        with primary.connect() as session:
            (name,) = session.execute("SELECT pg_walfile_name(pg_current_wal_lsn())").fetchone() or ("",)
            session.execute("SELECT pg_switch_wal()")
        run_as_owner("cp", primary.data / "pg_wal" / str(name), archive)
        until(lambda: "archive-replay" not in wrong(standby.look()))
        assert "the last transaction that it replayed is" in found(standby.look(), "archive-replay").sentence
        shutil.rmtree(archive)


@contextmanager
def with_standby(version: int) -> Iterator[tuple[Cluster, Cluster]]:
    """A primary and its standby, made of a copy of the stopped primary."""
    with running(version) as primary:
        primary.close()
        primary.stop("fast")
        directory = owned_directory("slipway-standby-")
        standby = Cluster(directory, version, 5433)
        try:
            run_as_owner("cp", "-a", primary.data, standby.data)
            run_as_owner("touch", standby.data / "standby.signal")
            with (standby.data / "postgresql.conf").open("a") as settings:
                settings.write(f"primary_conninfo = 'host={primary.directory} user=postgres'\n")
            primary.start()
            standby.start()
            yield primary, standby
        finally:
            standby.stop()
            shutil.rmtree(directory)


@pytest.mark.every_version("16 keeps some for roles that are no superusers", of=(14, 16))
def test_connections_kept_for_some_are_no_room_for_all(cluster: Cluster) -> None:
    room = 24 - 3 - (2 if cluster.version >= 16 else 0)
    assert f" of {room} connections are taken" in found(cluster.look(), "connections").sentence


@pytest.mark.every_version("the refusal's words are each server's own")
def test_when_all_connections_are_taken_the_server_says_so(cluster: Cluster) -> None:
    failures: list[psycopg.OperationalError] = []
    while not failures:
        try:
            cluster.connect("shop")
        except psycopg.OperationalError as failure:
            failures.append(failure)
    host = AppHost("db-1", "192.0.2.1", 22, "deploy", Path("/key"), Path("/known"))
    said = refusals.of(host, "shop", "shop", failures[0])
    assert isinstance(said, refusals.FullError)
    with pytest.raises(psycopg.OperationalError) as refused:
        psycopg.connect(host=str(cluster.directory), port=1, user="shop", dbname="shop")
    absent = refusals.of(host, "shop", "shop", refused.value)
    assert type(absent) is refusals.DownError
    assert "No such file or directory" in str(absent)


__all__ = ["cluster", "one_a_version"]
