"""What adds and what takes away: how far a migration goes, and which release can run on what is there."""

import json

import pytest

from conftest import RELEASE, Database, Service, run
from slipway_migrator import Applied, judge, order_below

TABLE = (
    'op.create_table("notes", sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("text", sa.Text))'
)
ADD = 'op.add_column("notes", sa.Column("{}", sa.Text))'
RECORDED = "SELECT revision, down_revision, kind, release FROM schema_changes ORDER BY applied_at, revision"


def test_what_takes_away_waits_until_it_is_told(service: Service, database: Database) -> None:
    service.revise(TABLE)
    service.migrated(database)
    service.revise(ADD.format("title"))
    service.revise('op.drop_column("notes", "text")', kind="contract")
    service.revise(ADD.format("more"))
    done = service.migrated(database)
    assert done.result == {"from": "r1", "to": "r2", "held_back": ["r3", "r4"]}
    assert service.migrated(database, "--contract").result == {"from": "r2", "to": "r4"}
    assert [tuple(row.values())[:3] for row in database.fetch(RECORDED)] == [
        ("r1", None, "expand"),
        ("r2", "r1", "expand"),
        ("r3", "r2", "contract"),
        ("r4", "r3", "expand"),
    ]


def test_a_revision_that_says_no_kind_takes_away_and_that_is_said(
    service: Service, database: Database
) -> None:
    service.revise(TABLE, kind=None)
    first = service.migrated(database)
    assert first.events("revision_without_kind")[0]["revisions"] == ["r1"]
    service.revise(ADD.format("title"), kind=None)
    done = service.migrated(database)
    assert done.result == {"from": "r1", "to": "r1", "held_back": ["r2"]}
    (said,) = done.events("revision_without_kind")
    assert (said["revisions"], said["counts_as"], said["level"]) == (["r2"], "contract", "warning")
    (row,) = [
        row for row in json.loads(service.run({}, "schema").printed)["revisions"] if row["revision"] == "r2"
    ]
    assert (row["kind"], row["declared"]) == ("contract", False)


def test_a_kind_that_is_none_is_refused(service: Service, database: Database) -> None:
    service.revise(TABLE, kind="grow")
    done = service.run(database.environ(), "migrate")
    assert done.status == 1
    assert "declares the kind 'grow': it must be 'expand'" in done.said
    assert database.tables() == set()


def test_an_earlier_release_leaves_a_later_schema_alone(service: Service, database: Database) -> None:
    service.revise(TABLE)
    service.migrated(database)
    later = service.revise(ADD.format("title"))
    service.migrated(database)
    next(service.versions.glob(f"*_{later}.py")).unlink()
    done = service.run(database.environ(), "migrate")
    assert (done.status, done.printed) == (1, "")
    assert f"nothing is changed: it is on revision r2, which release {RELEASE} does not" in done.said


def test_branches_that_were_merged_are_one_row_and_no_migration_stops_inside_of_one(
    service: Service, database: Database
) -> None:
    service.revise(TABLE, name="root")
    service.migrated(database)
    service.revise(ADD.format("left"), down="root", name="left")
    service.revise(ADD.format("right"), down="root", name="right", kind="contract")
    service.revise("pass", down=("left", "right"), name="merged")
    done = service.migrated(database)
    assert done.result["to"] == "root"
    assert sorted(done.result["held_back"]) == ["left", "merged", "right"]
    assert service.migrated(database, "--contract").result == {"from": "root", "to": "merged"}
    assert database.value("SELECT count(*) FROM schema_changes") == 4
    assert service.migrated(database).result == {"from": "merged", "to": "merged"}


def test_branches_that_nobody_merged_are_refused(service: Service, database: Database) -> None:
    service.revise(TABLE, name="root")
    for name in ("left", "right"):
        service.revise("pass", down="root", name=name)
    done = service.run(database.environ(), "migrate")
    assert done.status == 1
    assert "The migrations have 2 heads" in done.said


@pytest.mark.parametrize(
    ("applied", "code"),
    [
        (Applied("r2"), "ready"),
        (Applied("r1"), "schema_behind"),
        (Applied(), "schema_missing"),
        (Applied("r9"), "schema_unknown"),
        (Applied("r9", comes_after_head=True), "ready"),
        (Applied("r9", True, "r8", "later"), "schema_contracted"),
    ],
)
def test_a_release_can_run_on_its_head_and_on_what_was_only_added_to(
    service: Service, applied: Applied, code: str
) -> None:
    service.revise(TABLE)
    service.revise(ADD.format("title"))
    verdict = judge(order_below(service.folder / "migrations"), "this", applied)
    assert verdict.code == code
    assert verdict.message.startswith("The database is ")


def test_the_sql_of_each_revision_is_shown_without_a_database_and_what_asks_one_is_named(
    service: Service,
) -> None:
    service.revise(TABLE)
    service.revise('sa.inspect(op.get_bind()).get_columns("notes")')
    service.revise(ADD.format("probe"))
    done = run(service, {}, "schema", "--sql")
    sql = {row["revision"]: row["sql"] for row in done.result["revisions"]}
    assert sql["r2"].startswith("-- unknown: ")
    assert "\n" not in sql["r2"]
    assert "-- statement\nCREATE TABLE notes" in sql["r1"]
    assert "-- statement\nALTER TABLE notes ADD COLUMN probe TEXT;" in sql["r3"]
    assert "version_num='r3'" in sql["r3"]
