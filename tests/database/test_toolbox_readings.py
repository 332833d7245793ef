"""db-activity, db-locks, db-top, db-bloat, db-indexes, db-sizes on real servers of 14 to 17."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from fabfile.database.asking import queries
from fabfile.database.findings import Table
from fabfile.database.toolbox import activity, reading, readings
from fabfile.errors import RefusedError
from tests.database.toolbox_ground import Ground, ground, server

__all__ = ["ground", "server"]
HOSTILE = "\x1b[2Jworker\u202e"


def column(table: Table, name: str) -> list[Any]:
    return [row[table.columns.index(name)] for row in table.rows]


@pytest.fixture
def ops(ground: Ground) -> psycopg.Connection[Any]:
    return ground.connect("slipway_ops", "slipway test")


@pytest.mark.parametrize("file", sorted(reading.FOLDER.glob("*.sql")), ids=lambda file: file.name)
def test_every_query_says_what_it_is_for_and_what_it_needs(file: Any) -> None:
    assert queries.HEADER.match(file.read_text(encoding="utf-8"))


def test_a_query_has_the_form_of_its_server() -> None:
    assert "s.blk_read_time" in queries.statement("top", 16, reading.FOLDER)
    assert "s.shared_blk_read_time" in queries.statement("top", 17, reading.FOLDER)
    assert queries.statement("top", 14, reading.FOLDER) == queries.statement("top", 15, reading.FOLDER)
    with pytest.raises(RefusedError, match="no form of the query top for PostgreSQL 13"):
        queries.statement("top", 13, reading.FOLDER)


@pytest.mark.every_version("the query is sent to servers of every version")
def test_a_queue_is_shown_with_its_root_first(ground: Ground, ops: psycopg.Connection[Any]) -> None:
    root = ground.holding("LOCK TABLE shop.orders IN ACCESS EXCLUSIVE MODE", "postgres", HOSTILE)
    with (
        ground.running("SELECT 'secret', * FROM shop.orders") as first,
        ground.running("UPDATE shop.orders SET state = 'secret'") as second,
    ):
        ground.wait_until_blocked(first.pid, second.pid)
        sessions = activity.read(ops)
        shown = activity.table(sessions)
        assert [row[0] for row in shown.rows[:3]] == [
            str(root.info.backend_pid),
            *(f"  > {pid}" for pid in sorted((first.pid, second.pid), key=[s.pid for s in sessions].index)),
        ]
        assert shown.rows[0][3] == "idle in transaction, blocks 2"
        text = " ".join(activity.sentences(sessions, "production"))
        assert "2 sessions wait for a lock" in text
        assert f"fab db-kill --env production {root.info.backend_pid}" in text
        whole = json.dumps(activity.as_dicts(sessions)) + repr(shown) + text
        assert "secret" not in whole
        assert "worker" in whole
        # From 16 on the server itself writes what is not printable in an application's name as \x1b, visibly.
        own = re.sub(r"\\+x[0-9a-f]{2}", "", whole) if ground.version >= 16 else whole
        assert not re.search(r"[\x00-\x1f\u202e]|\\u202e|\\u001b|\\x1b", own)


def test_who_waits_behind_a_waiter_stands_below_it(ground: Ground, ops: psycopg.Connection[Any]) -> None:
    root = ground.holding("SELECT FROM shop.orders")
    with ground.running("BEGIN; LOCK TABLE shop.orders", "postgres") as middle:
        ground.wait_until_blocked(middle.pid)
        with ground.running("SELECT count(*) FROM shop.orders") as last:
            ground.wait_until_blocked(middle.pid, last.pid)
            placed = activity.forest(activity.read(ops))
            assert [(each.session.pid, each.depth, each.blocks) for each in placed[:3]] == [
                (root.info.backend_pid, 0, 2),
                (middle.pid, 1, 1),
                (last.pid, 2, 0),
            ]


def session(pid: int, *blocked_by: int, state: str = "active") -> activity.Session:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    return activity.Session(
        pid,
        began,
        "shop",
        "shop",
        "a",
        "socket",
        state,
        "client backend",
        "",
        1,
        1,
        1,
        list(blocked_by),
        "SELECT 1",
    )


def test_a_ring_of_waiters_is_shown_once_each() -> None:
    placed = activity.forest([session(1, 2), session(2, 1), session(3, 1)])
    assert sorted(each.session.pid for each in placed) == [1, 2, 3]


def test_idle_sessions_are_counted_and_left_out() -> None:
    sessions = [session(1), session(2, state="idle")]
    assert len(activity.table(sessions).rows) == 1
    assert len(activity.table(sessions, with_idle=True).rows) == 2
    assert activity.sentences(sessions, "lab")[0] == "2 sessions: 1 active, 0 idle in transaction, 1 idle."


def test_a_prepared_transaction_that_blocks_is_said(ground: Ground, ops: psycopg.Connection[Any]) -> None:
    holder = ground.holding("LOCK TABLE shop.lines IN ACCESS EXCLUSIVE MODE", "postgres")
    holder.execute("PREPARE TRANSACTION 'left'")
    try:
        with ground.running("SELECT * FROM shop.lines") as waiting:
            ground.wait_until_blocked(waiting.pid)
            assert "prepared transaction holds a lock" in " ".join(
                activity.sentences(activity.read(ops), "lab")
            )
            found = readings.locks(ops, False, 50).tables[0]
            assert "prepared transaction" in column(found, "pid")
    finally:
        holder.execute("ROLLBACK PREPARED 'left'")


@pytest.mark.every_version("the query is sent to servers of every version")
def test_locks_show_holders_before_waiters(ground: Ground, ops: psycopg.Connection[Any]) -> None:
    holder = ground.holding("LOCK TABLE shop.accounts IN ACCESS EXCLUSIVE MODE", "postgres")
    with ground.running("SELECT 'secret' FROM shop.accounts") as waiting:
        ground.wait_until_blocked(waiting.pid)
        found = readings.locks(ops, False, 50)
        assert found.note == "1 session waits for a lock."
        rows = [row[:6] for row in found.tables[0].rows if row[5] == "shop.accounts"]
        assert [(row[0], row[2], row[3]) for row in rows] == [
            ("held", str(holder.info.backend_pid), "AccessExclusiveLock"),
            ("waits", str(waiting.pid), "AccessShareLock"),
        ]
        assert "secret" not in repr(found)
    assert readings.locks(ops, True, 50).note == "Nobody waits for a lock."


@pytest.mark.every_version("the query is sent to servers of every version")
def test_statements_by_every_measure(ground: Ground, ops: psycopg.Connection[Any]) -> None:
    ground.connect("shop").execute("SELECT count(*) FROM shop.orders WHERE state = 'secret'")
    for measure in readings.MEASURES:
        found = readings.top(ops, measure, 1000).tables[0]
        assert any("shop.orders" in query for query in column(found, "query"))
        assert "secret" not in repr(found)
    with pytest.raises(RefusedError, match="--by cost is none of total, mean, calls, io"):
        readings.top(ops, "cost", 10)


def test_a_database_without_pg_stat_statements_is_said(ground: Ground) -> None:
    with (
        psycopg.connect(
            host=str(ground.directory), user="slipway_ops", dbname="postgres", autocommit=True
        ) as elsewhere,
        pytest.raises(RefusedError, match="has no extension pg_stat_statements"),
    ):
        readings.top(elsewhere, "total", 10)


@pytest.mark.every_version("the query is sent to servers of every version")
def test_indexes(ground: Ground, ops: psycopg.Connection[Any]) -> None:
    owner = ground.connect()
    owner.execute("INSERT INTO shop.accounts VALUES (-1, 'twice'), (-2, 'twice')")
    with pytest.raises(psycopg.errors.UniqueViolation):
        owner.execute("CREATE UNIQUE INDEX CONCURRENTLY accounts_email ON shop.accounts (email)")
    try:
        invalid, duplicate, missing, unused = readings.indexes(ops, 50).tables
        assert column(invalid, "index") == ["shop.accounts_email"]
        assert column(invalid, "being built now") == [False]
        pairs = set(zip(column(duplicate, "index"), column(duplicate, "same as"), strict=True))
        assert ("shop.orders_state_too", "shop.orders_state") in pairs
        assert ("shop.orders_state", "shop.orders_state_too") not in pairs
        assert ("shop.orders_state", "shop.orders_state_placed") in pairs
        assert ("shop.orders_state_placed", "shop.orders_state") not in pairs
        assert list(zip(column(missing, "table"), column(missing, "columns"), strict=True)) == [
            ("shop.orders", "account")
        ]
        assert "shop.orders_state_placed" in column(unused, "index")
        assert "shop.lines_order" not in column(unused, "index"), "a foreign key needs it"
    finally:
        owner.execute("DROP INDEX shop.accounts_email")
        owner.execute("DELETE FROM shop.accounts WHERE id < 0")


@pytest.mark.every_version("the query is sent to servers of every version")
def test_sizes_name_tables_as_sql_has_them(ops: psycopg.Connection[Any]) -> None:
    databases, tables, indexes = readings.sizes(ops, 50).tables
    assert "shop" in column(databases, "database")
    names = column(tables, "table")
    assert names[0] == "shop.orders"
    assert 'shop.U&"hostile"" ; name\\001b[2J"' in names
    assert column(tables, "total bytes") == sorted(column(tables, "total bytes"), reverse=True)
    assert "shop.orders_pkey" in column(indexes, "index")


def test_a_locked_table_is_said_and_not_waited_for(ground: Ground, ops: psycopg.Connection[Any]) -> None:
    ground.holding("LOCK TABLE shop.orders IN ACCESS EXCLUSIVE MODE", "postgres")
    with pytest.raises(reading.UnreadError, match=r"holds a lock on a table.*Type: fab db-locks"):
        readings.sizes(ops, 50)


@pytest.mark.every_version("the query is sent to servers of every version")
def test_bloat_of_tables_and_indexes_is_measured(ground: Ground, ops: psycopg.Connection[Any]) -> None:
    owner = ground.connect()
    owner.execute(
        "CREATE TABLE shop.bloated AS SELECT n, repeat('x', 100) AS t FROM generate_series(1, 20000) AS n"
    )
    owner.execute("CREATE INDEX bloated_n ON shop.bloated (n)")
    try:
        owner.execute("DELETE FROM shop.bloated WHERE n % 4 > 0")
        owner.execute("VACUUM ANALYZE shop.bloated")
        found = readings.bloat(ops, 50)
        assert found.note == "Measured by pgstattuple."
        for table, name in zip(found.tables, ("table", "index"), strict=True):
            share = dict(zip(column(table, name), column(table, "bloat %"), strict=True))
            full, most = (
                ("shop.orders", "shop.bloated") if name == "table" else ("shop.orders_pkey", "shop.bloated_n")
            )
            assert share[full] < 20
            assert 65 < share[most] < 85
            assert column(table, name)[0] == most
    finally:
        owner.execute("DROP TABLE shop.bloated")


def test_what_would_take_too_long_is_said_and_not_measured(
    ops: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "MOST_PAGES", 20)
    found = readings.bloat(ops, 50)
    assert " without a number would take too long" in found.note
    assert column(found.tables[0], "bloat bytes")[0] is None
    assert column(found.tables[0], "bloat bytes")[-1] is not None


def test_json_is_whole_and_safe(ops: psycopg.Connection[Any]) -> None:
    text = reading.as_json(readings.sizes(ops, 50).tables, environment="lab")
    assert json.loads(text)["tables"]["Tables"][0]["table"] == "shop.orders"


def test_a_connection_that_ended_is_a_sentence(ground: Ground, ops: psycopg.Connection[Any]) -> None:
    ground.connect().execute("SELECT pg_terminate_backend(%s)", (ops.info.backend_pid,))
    with pytest.raises(reading.UnreadError, match=r"The sizes was not read: the connection ended|ended"):
        readings.sizes(ops, 5)
