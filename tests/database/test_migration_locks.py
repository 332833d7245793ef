"""What a migration plan says of each statement's lock is what servers of 14 to 17 take for it."""

from __future__ import annotations

import psycopg
import pytest

from fabfile.errors import RefusedError
from fabfile.migration import planning, statements
from fabfile.migration.statements import (
    ALL,
    CHANGES_ROWS,
    HIDDEN,
    MAINTAIN,
    REWRITES,
    ROW,
    SCANS,
    SHARE,
    WRITERS,
)
from tests.database.toolbox_ground import Ground, ground, server

__all__ = ["ground", "server"]
# One statement, the table that is asked about, the lock, and what else it does to it.
CASES = [
    ("ALTER TABLE shop.orders ADD COLUMN note text", "orders", ALL, ""),
    ("ALTER TABLE shop.orders ADD COLUMN at timestamptz DEFAULT now() NOT NULL", "orders", ALL, ""),
    ("ALTER TABLE shop.orders ADD COLUMN key uuid DEFAULT gen_random_uuid()", "orders", ALL, REWRITES),
    ("ALTER TABLE shop.orders ADD COLUMN number bigserial", "orders", ALL, REWRITES),
    ("ALTER TABLE shop.orders DROP COLUMN state", "orders", ALL, ""),
    ("ALTER TABLE shop.orders RENAME COLUMN state TO status", "orders", ALL, ""),
    ("ALTER TABLE shop.orders RENAME TO purchases", "orders", ALL, ""),
    ("ALTER TABLE shop.orders ALTER COLUMN state TYPE varchar(9)", "orders", ALL, REWRITES),
    ("ALTER TABLE shop.orders ALTER COLUMN state SET NOT NULL", "orders", ALL, SCANS),
    ("ALTER TABLE shop.orders ALTER COLUMN state SET DEFAULT 'new'", "orders", ALL, ""),
    ("ALTER TABLE shop.orders ALTER COLUMN state SET STATISTICS 500", "orders", MAINTAIN, ""),
    ("ALTER TABLE shop.orders SET (fillfactor = 90)", "orders", MAINTAIN, ""),
    ("ALTER TABLE shop.orders DISABLE TRIGGER USER", "orders", WRITERS, ""),
    ("ALTER TABLE shop.orders ADD CONSTRAINT known CHECK (state <> '')", "orders", ALL, SCANS),
    ("ALTER TABLE shop.orders ADD CONSTRAINT known CHECK (state <> '') NOT VALID", "orders", ALL, ""),
    ("ALTER TABLE shop.lines ADD CONSTRAINT whose FOREIGN KEY (id) REFERENCES shop.accounts", "lines", WRITERS, SCANS),
    ("ALTER TABLE shop.lines ADD CONSTRAINT whose FOREIGN KEY (id) REFERENCES shop.accounts", "accounts", WRITERS, ""),
    (
        "ALTER TABLE shop.lines ADD CONSTRAINT whose FOREIGN KEY (id) REFERENCES shop.accounts NOT VALID",
        "lines",
        WRITERS,
        "",
    ),
    ("ALTER TABLE shop.lines ADD CONSTRAINT one UNIQUE (sku)", "lines", ALL, SCANS),
    ("ALTER TABLE shop.orders ADD COLUMN note text, ALTER COLUMN state SET NOT NULL", "orders", ALL, SCANS),
    ("CREATE INDEX later ON shop.orders (placed)", "orders", SHARE, SCANS),
    ("CREATE TABLE shop.gifts (id int PRIMARY KEY, of bigint REFERENCES shop.orders)", "orders", WRITERS, ""),
    ("CREATE TRIGGER t BEFORE UPDATE ON shop.orders EXECUTE FUNCTION suppress_redundant_updates_trigger()",
     "orders", WRITERS, ""),
    ("DROP TABLE shop.lines", "lines", ALL, ""),
    ("TRUNCATE shop.lines", "lines", ALL, ""),
    ("UPDATE shop.orders SET state = 'x' WHERE id < 9", "orders", ROW, CHANGES_ROWS),
    ("DELETE FROM shop.lines", "lines", ROW, CHANGES_ROWS),
    ("INSERT INTO shop.accounts VALUES (-1, 'none')", "accounts", ROW, ""),
    ('ALTER TABLE shop."hostile"" ; name\x1b[2J" ADD COLUMN note text', 'hostile" ; name\x1b[2J', ALL, ""),
]  # fmt: skip
TAKEN = """
SELECT DISTINCT l.mode FROM pg_locks AS l WHERE l.pid = pg_backend_pid() AND l.relation = %s AND l.granted
"""


@pytest.mark.every_version("which lock a statement takes is each server's own")
@pytest.mark.parametrize(("sql", "table", "lock", "effect"), CASES, ids=[case[0][:60] for case in CASES])
def test_the_lock_is_the_one_that_a_server_takes(
    ground: Ground, sql: str, table: str, lock: str, effect: str
) -> None:
    said = [each for each in statements.effects(sql) if each.table == table]
    assert [(each.lock, each.effect) for each in said] == [(lock, effect)]
    owner = ground.connect("postgres")
    owner.autocommit = False
    (oid,) = owner.execute("SELECT oid FROM pg_class WHERE relname = %s", [table]).fetchone() or (None,)
    owner.execute(sql.encode())
    modes = {mode for (mode,) in owner.execute(TAKEN, [oid]).fetchall()}
    owner.rollback()
    names = {"".join(each.title().split()) + "Lock": each for each in statements.ORDER if each}
    assert max((names[mode] for mode in modes if mode in names), key=statements.ORDER.index) == lock


@pytest.mark.parametrize(
    ("sql", "lock", "effect"),
    [
        ("CREATE INDEX CONCURRENTLY later ON shop.orders (placed)", MAINTAIN, SCANS),
        (
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS later ON orders (lower(state)) WHERE id > 0",
            MAINTAIN,
            SCANS,
        ),
        ("DROP INDEX CONCURRENTLY orders_state", MAINTAIN, ""),
        ("DROP INDEX CONCURRENTLY IF EXISTS orders_state", MAINTAIN, ""),
        ("ALTER TABLE shop.orders VALIDATE CONSTRAINT known", MAINTAIN, SCANS),
        ("DO $$ BEGIN DELETE FROM shop.orders; END $$", "", HIDDEN),
    ],
)
def test_what_a_transaction_cannot_show_is_as_the_manual_has_it(sql: str, lock: str, effect: str) -> None:
    (said,) = statements.effects(sql)
    assert (said.lock, said.effect) == (lock, effect)


def test_what_the_same_revision_creates_is_in_nobodys_way() -> None:
    assert (
        statements.effects("CREATE TABLE t (a int); CREATE INDEX i ON t (a); ALTER TABLE t ADD COLUMN b int")
        == []
    )


def test_sql_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(RefusedError, match="cannot be read"):
        statements.effects("ALTER TABLE nonsense nonsense")


@pytest.mark.every_version("the query is sent to servers of every version")
def test_tables_have_their_size_and_who_is_in_the_way(ground: Ground) -> None:
    holder = ground.holding("SELECT count(*) FROM shop.orders", "shop", "nightly \x1b[2Jreport")
    ops: psycopg.Connection[object] = ground.connect("slipway_ops")
    found = planning.in_use(ops, "shop", ["orders", "accounts", "absent"])
    assert sorted(found) == ["accounts", "orders"]
    assert (found["orders"].pid, found["orders"].rows) == (holder.info.backend_pid, 5000)
    assert found["orders"].bytes > 100_000
    assert found["accounts"].pid is None
