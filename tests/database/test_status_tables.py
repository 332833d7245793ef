"""Faults of tables, indexes and sequences are made on a real server, and said."""

from __future__ import annotations

import threading

import psycopg
import pytest

from fabfile.database.checks.sections import bloat
from fabfile.database.checks.thresholds import Threshold
from fabfile.database.findings import Level
from tests.database.status_ground import Cluster, cluster, found, one_a_version, until, wrong


def test_an_index_that_a_failed_build_left_is_invalid(cluster: Cluster) -> None:
    cluster.execute("CREATE TABLE shop.twice AS SELECT 1 AS id FROM generate_series(1, 2)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        cluster.execute("CREATE UNIQUE INDEX CONCURRENTLY twice_id ON shop.twice (id)")
    report = cluster.look()
    cluster.execute("DROP TABLE shop.twice")
    assert wrong(report).keys() == {"invalid-indexes"}
    assert found(report, "invalid-indexes").command == "DROP INDEX CONCURRENTLY shop.twice_id;"


def test_duplicate_indexes_and_unvalidated_constraints_are_named(cluster: Cluster) -> None:
    cluster.execute(
        'CREATE TABLE shop."o""dd" (id int, CHECK (id > 0))',
        'CREATE INDEX first ON shop."o""dd" (id)',
        'CREATE INDEX second ON shop."o""dd" (id)',
        'ALTER TABLE shop."o""dd" ADD CONSTRAINT late CHECK (id > 1) NOT VALID',
    )
    report = cluster.look()
    cluster.execute('DROP TABLE shop."o""dd"')
    assert "shop.second as first" in found(report, "duplicate-indexes").sentence
    assert wrong(report).keys() == {"constraints"}
    assert found(report, "constraints").command == 'ALTER TABLE shop."o""dd" VALIDATE CONSTRAINT late;'


def test_a_sequence_near_its_end_is_critical_and_one_out_of_sight_unknown(cluster: Cluster) -> None:
    cluster.execute(
        "CREATE SEQUENCE shop.ending AS smallint", "SELECT setval('shop.ending', 32000)",
    )  # fmt: skip
    near = cluster.look()
    cluster.execute("REVOKE ALL ON SEQUENCE shop.ending FROM slipway_ops")
    unseen = cluster.look()
    cluster.execute("DROP SEQUENCE shop.ending")
    assert found(near, "sequences").level is Level.CRITICAL
    assert found(unseen, "sequences").level is Level.UNKNOWN
    assert unseen.exit_code == 3


def test_dead_rows_that_nobody_cleans_are_named(cluster: Cluster) -> None:
    cluster.execute(
        "CREATE TABLE shop.dead (id int) WITH (autovacuum_enabled = off)",
        "INSERT INTO shop.dead SELECT generate_series(1, 30000)",
        "ANALYZE shop.dead",
        "UPDATE shop.dead SET id = id + 1",
    )
    with cluster.connect() as session:
        dead = "SELECT n_dead_tup > 10000 FROM pg_stat_user_tables WHERE relname = 'dead'"
        until(lambda: session.execute(dead).fetchone() == (True,))
    report = cluster.look()
    cluster.execute("DROP TABLE shop.dead")
    assert wrong(report).keys() == {"dead-tuples", "autovacuum"}
    assert found(report, "dead-tuples").command == "VACUUM (ANALYZE) shop.dead;"


WIDE = (
    "CREATE TABLE shop.wide (id int, text text) WITH (autovacuum_enabled = off)",
    "INSERT INTO shop.wide SELECT n, repeat('x', 500) FROM generate_series(1, 20000) AS n",
    "DELETE FROM shop.wide WHERE id % 10 > 0",
    "ANALYZE shop.wide",
)
TENTHS = Threshold(1 << 20, 4 << 20, "B")


@pytest.mark.every_version("the visibility map that it stands on is each server's own")
def test_bloat_of_a_table_that_who_looks_may_not_read_is_measured(cluster: Cluster) -> None:
    cluster.execute(*WIDE)
    dead = cluster.look(bloat=TENTHS)
    cluster.execute("VACUUM shop.wide")
    free = cluster.look(bloat=TENTHS)
    cluster.execute("VACUUM FULL shop.wide")
    whole = cluster.look(bloat=TENTHS)
    cluster.execute("DROP TABLE shop.wide")
    for report in (dead, free):
        assert found(report, "bloat").level is Level.CRITICAL
        assert found(report, "bloat").sentence.startswith("shop.wide has 9.")
    assert found(whole, "bloat").level is Level.OK


def test_a_table_that_takes_long_or_is_being_changed_is_counted_and_not_waited_for(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.execute(*WIDE)
    changing = cluster.connect()
    changing.execute("BEGIN")
    changing.execute("LOCK TABLE shop.wide IN ACCESS EXCLUSIVE MODE")
    locked = cluster.look(bloat=TENTHS)
    changing.execute("ROLLBACK")
    monkeypatch.setattr(bloat, "MOST_PAGES", 1)
    large = cluster.look(bloat=TENTHS)
    cluster.execute("DROP TABLE shop.wide")
    for report in (locked, large):
        assert found(report, "bloat").level is Level.OK
        assert (
            "1 of 10 MB only fab db-bloat, or a longer --limit, measures" in found(report, "bloat").sentence
        )


def test_bloat_that_nothing_can_measure_is_not_taken_for_none(cluster: Cluster) -> None:
    cluster.execute("DROP EXTENSION pgstattuple")
    report = cluster.look()
    cluster.execute("CREATE EXTENSION pgstattuple")
    assert wrong(report).keys() == {"bloat"}
    assert found(report, "bloat").command.endswith("playbooks/database.yml")


def test_the_end_of_transaction_ids_is_seen_coming(cluster: Cluster) -> None:
    """The threshold is lowered: two thousand million transactions take days."""
    report = cluster.look(transaction_ids=Threshold(1, 2))
    assert found(report, "transaction-ids").level is Level.CRITICAL


def test_a_deadlock_is_counted(cluster: Cluster) -> None:
    first, second = cluster.connect("shop"), cluster.connect("shop")
    for session, row in ((first, 4), (second, 5)):
        session.execute("BEGIN")
        session.execute(f"UPDATE shop.orders SET state = 'x' WHERE id = {row}".encode())
    failures: list[psycopg.Error] = []

    def cross(session: psycopg.Connection[tuple[object, ...]], row: int) -> None:
        try:
            session.execute(f"UPDATE shop.orders SET state = 'y' WHERE id = {row}".encode())
        except psycopg.errors.DeadlockDetected as failure:
            failures.append(failure)
        session.execute("ROLLBACK")

    threads = [threading.Thread(target=cross, args=pair) for pair in ((first, 5), (second, 4))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failures) == 1
    for session in (first, second):
        session.close()
    until(lambda: not found(cluster.look(), "counts").sentence.startswith("0 deadlocks"))


__all__ = ["cluster", "one_a_version"]
