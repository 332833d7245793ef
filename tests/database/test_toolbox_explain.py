"""db-explain on real servers: generic plans on 14 to 17, and nothing is ever written."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from fabfile.database.toolbox import explain
from fabfile.errors import RefusedError
from tests.database.toolbox_ground import Ground, ground, server

__all__ = ["ground", "server"]


@pytest.fixture
def backup(ground: Ground) -> psycopg.Connection[Any]:
    return ground.connect("slipway_backup")


def plan(connection: psycopg.Connection[Any], text: str, analyze: bool = False) -> str:
    return explain.plan(connection, explain.parsed(text), analyze)


@pytest.mark.every_version("16 has generic plans of its own")
def test_a_statement_of_pg_stat_statements_has_its_generic_plan(
    ground: Ground, backup: psycopg.Connection[Any]
) -> None:
    ground.connect("shop").execute("SELECT state FROM shop.orders WHERE id = 4711 AND state <> 'secret'")
    row = backup.execute("SHOW server_version_num").fetchone()
    assert row is not None
    ops = ground.connect("slipway_ops")
    found = ops.execute(
        "SELECT queryid::text FROM pg_stat_statements WHERE query LIKE 'SELECT state FROM shop.orders WHERE id%'"
    ).fetchone()
    assert found is not None
    text = explain.kept(ops, found[0])
    assert "secret" not in text
    lines = plan(backup, text)
    assert "Index Scan using orders_pkey on shop.orders" in lines
    assert "$1" in lines
    assert backup.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
    assert plan(backup, text) == lines, "what was prepared is gone again"


def test_a_plan_keeps_its_indentation(backup: psycopg.Connection[Any]) -> None:
    lines = plan(backup, "SELECT * FROM shop.orders o JOIN shop.accounts a ON a.id = o.account;").splitlines()
    assert any(line.startswith("  ->") for line in lines)


def test_analyze_runs_what_only_reads(backup: psycopg.Connection[Any]) -> None:
    assert "actual time" in plan(
        backup, "SELECT count(*) FROM shop.orders WHERE state LIKE '%{x}%s'", analyze=True
    )
    assert "actual time" not in plan(backup, "SELECT count(*) FROM shop.orders")


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE shop.orders SET state = 'x'",
        "DELETE FROM shop.orders",
        "INSERT INTO shop.accounts VALUES (0)",
        "WITH gone AS (DELETE FROM shop.orders RETURNING *) SELECT * FROM gone",
        "SELECT * INTO shop.copied FROM shop.orders",
        "SELECT * FROM shop.orders FOR UPDATE",
        "SELECT * FROM shop.orders WHERE id = $1",
    ],
)
def test_analyze_is_refused_for_what_writes_locks_or_lacks_values(text: str, ground: Ground) -> None:
    owner = ground.connect()
    with pytest.raises(RefusedError, match=r"Nothing was run; leave --analyze out\."):
        plan(owner, text, analyze=True)


def test_a_function_that_writes_is_stopped_by_the_transaction(ground: Ground) -> None:
    owner = ground.connect()
    owner.execute("CREATE SEQUENCE shop.counter")
    try:
        with pytest.raises(RefusedError, match=r"It would write.*Nothing was changed\."):
            plan(owner, "SELECT nextval('shop.counter')", analyze=True)
        assert owner.execute("SELECT last_value, is_called FROM shop.counter").fetchone() == (1, False)
    finally:
        owner.execute("DROP SEQUENCE shop.counter")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds 0 statements"),
        ("SELECT 1; DROP TABLE shop.orders", "holds 2 statements"),
        ("DROP TABLE shop.orders", "has no plan"),
        ("EXPLAIN ANALYZE DELETE FROM shop.orders", "has no plan"),
        ("PREPARE p AS DELETE FROM shop.orders", "has no plan"),
        ("SELEC 1", "cannot be read"),
        ("SELECT 1) ; (", "cannot be read"),
    ],
)
def test_what_cannot_be_explained_is_refused(text: str, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        explain.parsed(text)


@pytest.mark.parametrize(
    "query_id", ["", "abc", "1; DROP", "99999999999999999999", "9999999999999999999", "\u0661"]
)
def test_what_is_no_query_id_is_refused(query_id: str, ground: Ground) -> None:
    with pytest.raises(RefusedError, match=r"is no query id|cannot be"):
        explain.kept(ground.connect("slipway_ops"), query_id)


def test_an_unknown_query_id_is_said(ground: Ground) -> None:
    with pytest.raises(RefusedError, match="keeps no statement 1 of this database"):
        explain.kept(ground.connect("slipway_ops"), "1")


def test_a_plan_that_may_not_be_made_says_why(ground: Ground, backup: psycopg.Connection[Any]) -> None:
    with pytest.raises(RefusedError, match="slipway_ops may not explain it: permission denied"):
        plan(ground.connect("slipway_ops"), "SELECT * FROM shop.orders")
    with pytest.raises(RefusedError, match='PostgreSQL cannot plan it: relation "nowhere" does not exist'):
        plan(backup, "SELECT * FROM nowhere WHERE id = $1")
    assert backup.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
