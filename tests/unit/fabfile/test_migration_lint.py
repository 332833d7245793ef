"""What speaks against a migration, and what was accepted with a reason and a day."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from fabfile.errors import RefusedError
from fabfile.migration import lint, planning, statements, waivers
from fabfile.migration.lint import Problem
from fabfile.migration.planning import Plan, TableInUse
from fabfile.migration.waivers import Waiver
from fabfile.schema import Revision

EXPAND, CONTRACT = Revision("2", "expand", "Grow"), Revision("3", "contract", "Shrink")
TODAY = date(2026, 11, 23)


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("ALTER TABLE orders DROP COLUMN state", "ban-drop-column"),
        ("ALTER TABLE orders RENAME COLUMN state TO status", "renaming-column"),
        ("ALTER TABLE orders ADD COLUMN note text NOT NULL", "adding-required-field"),
        ("CREATE INDEX later ON orders (placed)", "require-concurrent-index-creation"),
        ("ALTER TABLE orders ADD CONSTRAINT known CHECK (state <> '')", "constraint-missing-not-valid"),
        ("UPDATE orders SET state = 'new' WHERE state IS NULL", "changes-rows"),
    ],
)
def test_what_hurts_a_database_in_use_is_found(sql: str, rule: str) -> None:
    assert rule in {problem.rule for problem in lint.problems(EXPAND, sql)}


def test_what_adds_is_fine_and_what_takes_away_may_where_it_says_so() -> None:
    assert lint.problems(EXPAND, "ALTER TABLE orders ADD COLUMN note text") == []
    assert lint.problems(CONTRACT, "ALTER TABLE orders DROP COLUMN state") == []


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS later ON orders (placed)",
        "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS later ON orders (lower(code)) WHERE code IS NOT NULL",
        "DROP INDEX CONCURRENTLY IF EXISTS later",
    ],
)
def test_nothing_speaks_against_an_index_beside_the_service(sql: str) -> None:
    assert lint.problems(EXPAND, f"SET LOCAL lock_timeout = '2s';\n{sql};") == []


FOUND = [Problem("2", "ban-drop-column", "Dropping a column may break existing clients.", 1)]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "Dropping a column"),
        ([Waiver("2", "ban-drop-column", "nobody reads it", TODAY)], ""),
        ([Waiver("2", "ban-drop-column", "nobody reads it", date(2026, 11, 22))], "ended on 2026-11-22"),
        (
            [Waiver("2", "ban-drop-table", "nobody reads it", TODAY)],
            "for something that is not found any more",
        ),
        ([Waiver("9", "ban-drop-column", "nobody reads it", TODAY)], "for a revision that there is not"),
    ],
)
def test_a_waiver_accepts_one_finding_until_its_day(given: list[Waiver], said: str) -> None:
    left = waivers.remaining(FOUND, given, {"2", "3"}, TODAY)
    assert said in " ".join(problem.sentence for problem in left)
    assert bool(left) == bool(said)


@pytest.mark.parametrize(
    "text",
    [
        "- {revision: '2', rule: ban-drop-column, until: 2027-01-31}",
        "- {revision: '2', rule: ban-drop-column, reason: '', until: 2027-01-31}",
        "- {revision: '2', rule: ban-drop-column, reason: nobody reads it, until: soon}",
        "revision: '2'",
        "[",
    ],
)
def test_a_waiver_without_reason_or_day_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "waivers.yml"
    file.write_text(text)
    with pytest.raises(RefusedError, match=r"waivers\.yml"):
        waivers.load(file)


def test_the_waivers_of_this_service_are_in_order() -> None:
    assert all(waiver.until >= waiver.until.min for waiver in waivers.load())


def test_a_plan_says_locks_sizes_findings_and_who_is_in_the_way() -> None:
    sql = {
        "2": "ALTER TABLE shop.orders ALTER COLUMN state SET NOT NULL",
        "3": "ALTER TABLE shop.orders DROP COLUMN a",
    }
    chain = [EXPAND, CONTRACT]
    steps, rest = planning.judged(chain, chain, [CONTRACT], sql, [])
    table = TableInUse("orders", 81920, 5000, 4711, "shop", "nightly \x1b[2Jreport", 90.0)
    plan = Plan("lab", "20261122T100000Z-cccccc3", "1", steps, {"orders": table}, rest)
    text = planning.text(plan)
    for part in (
        "2  Grow  (expand)",
        "ACCESS EXCLUSIVE on orders, and reads all of it (5 000 rows, 80 kB)",
        "FOUND adding-not-nullable-field",
        "3  Shrink  (contract, left to fab migrate --contract)",
        "In the way now:",
        "pid 4711 (shop, nightly",
        "1 min 30 s",
    ):
        assert part in text, text
    assert "\x1b" not in text
    assert not plan.is_clean
    assert '"lock": "ACCESS EXCLUSIVE"' in plan.as_json()


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("-- unknown: NoInspectionAvailable: no connection", "asks-the-database"),
        (
            "-- statement\nUPDATE a SET b = 1 WHERE c; UPDATE a SET b = 2 WHERE d;;\n",
            "several-statements-at-once",
        ),
        ("ALTER TABLE orders ENABLE ROW LEVEL SECURITY;", "row-level-security"),
        ("ALTER TABLE a ADD COLUMN x text; ALTER TABLE b ADD COLUMN y text;", "locks-several-tables"),
    ],
)
def test_what_fails_or_harms_only_once_it_is_applied_is_found_before(sql: str, rule: str) -> None:
    assert rule in {problem.rule for problem in lint.problems(Revision("r1", "expand", "t"), sql)}


def test_statements_that_are_sent_one_by_one_are_fine_and_so_is_a_block_of_code() -> None:
    sql = "-- statement\nSELECT 1;\n\n-- statement\nDO $$ BEGIN PERFORM 1; PERFORM 2; END $$;\n"
    assert statements.sent_together(sql) == []


def test_a_revision_that_shows_nothing_is_named_and_the_others_are_judged() -> None:
    chain = [Revision("r1", "expand", "asks"), Revision("r2", "expand", "adds")]
    sql = {"r1": "-- unknown: AttributeError: no connection", "r2": "ALTER TABLE products ADD COLUMN x text;"}
    steps, _ = planning.judged(chain, chain, [], sql, [])
    assert [[problem.rule for problem in step.problems] for step in steps] == [["asks-the-database"], []]
    assert steps[1].lock == "ACCESS EXCLUSIVE"
    applied, _ = planning.judged(chain, chain[1:], [], sql, [])
    assert [step.revision.id for step in applied] == ["r2"]
