"""A restore beside the live database: what it proves, what it refuses, and what it leaves."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.database.backup_ground import Ground, ground


@pytest.fixture(scope="module")
def server(version: int) -> Iterator[Ground]:
    """A server for all tests of this file."""
    with ground(version) as made:
        yield made


@pytest.fixture
def shop(server: Ground) -> Iterator[Ground]:
    """The server with one backup, and after the test without what was restored."""
    for path in server.backups.iterdir():
        path.unlink()
    server.backup()
    yield server
    for name in server.databases() - {"shop"}:
        server.sql(f'DROP DATABASE "{name}"', "postgres")


def newest(shop: Ground) -> str:
    return str(shop.mark("latest")["file"])


@pytest.mark.every_version("14 is restored by the programs of 15, 15 by its own", of=(14, 15))
def test_a_restored_database_is_what_was_dumped(shop: Ground) -> None:
    status, answer = shop.ask("restore", "--into=scratch")

    assert status == 0, answer
    assert "553 rows in 4 tables" in answer["message"]
    assert any("pg_stat_statements" in left for left in answer["result"]["left_out"])
    assert "only a superuser" in answer["message"]
    rows = "SELECT id, account FROM shop.orders ORDER BY id"
    assert shop.sql(rows, "scratch") == shop.sql(rows)
    mark = shop.mark("restore-test")
    assert (mark["ok"], mark["file"]) == (True, newest(shop))
    assert set(mark) >= {"at", "file", "bytes", "sha256", "ok", "detail"}
    owner = "SELECT pg_get_userbyid(datdba), has_database_privilege('shop_owner', oid, 'CONNECT') FROM pg_database"
    assert shop.sql(f"{owner} WHERE datname = 'scratch'", "postgres") == [("slipway_backup", False)]


def test_a_restore_test_leaves_no_database_and_sweeps_one_that_was_killed(shop: Ground) -> None:
    with shop.connect("postgres", "slipway_backup") as connection:
        connection.execute("CREATE DATABASE restore_test_20260101t000000z")
    status, answer = shop.ask("restore-test")

    assert status == 0, answer
    assert shop.databases() == {"shop"}
    assert "was dropped again" in answer["message"]


def test_a_test_that_is_refused_for_room_says_nothing_against_the_backup(shop: Ground) -> None:
    record = shop.backup()
    note = shop.backups / Path(record["file"]).with_suffix(".json")
    note.write_text(json.dumps(record | {"database_bytes": 1 << 60}))

    assert "may need" in shop.refused(2, "restore-test")
    mark = shop.mark("restore-test")
    assert (mark["ok"], mark["tried"], mark["at"]) == (False, False, "")
    assert "was refused: The disk of" in mark["detail"]

    note.write_text(json.dumps(record))
    assert shop.ask("restore-test")[0] == 0
    at = shop.mark("restore-test")["at"]
    note.write_text(json.dumps(record | {"database_bytes": 1 << 60}))
    shop.refused(2, "restore-test")
    assert shop.mark("restore-test")["at"] == at


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("shop", "it is the live database"),
        ("postgres", "it is the server"),
        ("template1", "it is the server"),
        ("Shop", "is no name for a database here"),
        ('x"; DROP DATABASE shop; --', "is no name for a database here"),
        ("scratch\n", "is no name for a database here"),
        ("", "is no name for a database here"),
        ("a" * 64, "is no name for a database here"),
        ("host=192.0.2.1 dbname=shop", "is no name for a database here"),
    ],
)
def test_a_name_that_is_not_a_scratch_databases_is_refused(shop: Ground, name: str, sentence: str) -> None:
    said = shop.refused(2, "restore", f"--into={name}")

    assert sentence in said
    assert "Nothing was changed" in said
    assert shop.databases() == {"shop"}
    assert not (shop.backups / "restore-test.json").exists()


def test_a_database_that_is_there_is_replaced_only_when_that_is_said_and_only_our_own(shop: Ground) -> None:
    shop.sql("CREATE DATABASE theirs", "postgres")
    assert shop.ask("restore", "--into=scratch")[0] == 0

    assert "add --replace" in shop.refused(2, "restore", "--into=scratch")
    assert "belongs to postgres" in shop.refused(2, "restore", "--into=theirs", "--replace")
    status, answer = shop.ask("restore", "--into=scratch", "--replace", "--drop")
    assert status == 0, answer
    assert shop.databases() == {"shop", "theirs"}
    assert shop.mark("restore-test")["ok"] is True


@pytest.mark.parametrize(
    ("damage", "sentence"), [("truncate", "was truncated"), ("alter", "checksum recorded")]
)
def test_a_damaged_dump_is_refused_by_name(shop: Ground, damage: str, sentence: str) -> None:
    dump = shop.backups / newest(shop)
    content = bytearray(dump.read_bytes())
    middle = len(content) // 2
    content[middle] ^= 1
    dump.write_bytes(content[:-10] if damage == "truncate" else content)

    said = shop.refused(3, "restore", "--into=scratch")

    assert dump.name in said
    assert sentence in said
    assert shop.databases() == {"shop"}
    mark = shop.mark("restore-test")
    assert mark["ok"] is False
    assert sentence in mark["detail"]


@pytest.mark.parametrize(
    "source", ["../shop.dump", "20200101T000000Z.dump", "/etc/passwd", "latest.json", "-"]
)
def test_what_is_no_backup_is_not_restored(shop: Ground, source: str) -> None:
    assert "is not a backup in" in shop.refused(2, "restore", "--into=scratch", f"--from={source}")


def test_no_backup_at_all_is_said(shop: Ground) -> None:
    for path in shop.backups.iterdir():
        path.unlink()
    assert "holds no backup" in shop.refused(2, "restore-test")


def test_a_dump_that_does_not_hold_what_its_record_says_fails_the_test(shop: Ground) -> None:
    path = (shop.backups / newest(shop)).with_suffix(".json")
    record = json.loads(path.read_text())
    record["tables"]["shop.orders"] += 1
    record["revision"] = "0000000000aa"
    path.write_text(json.dumps(record))

    said = shop.refused(3, "restore-test")

    assert "shop.orders has 500 rows, and had 501 rows when it was dumped." in said
    assert "The schema's revision is a3f6d8025b71, and was 0000000000aa." in said
    assert shop.databases() == {"shop"}
    assert shop.mark("restore-test")["ok"] is False


def test_rows_that_a_constraint_forbids_are_found_in_the_restored_database(shop: Ground) -> None:
    # As a disk or a bug would: past the constraint's own trigger.
    shop.sql("SET session_replication_role = replica; DELETE FROM shop.accounts WHERE id = 7")
    try:
        shop.backup()
        said = shop.refused(3, "restore-test")
    finally:
        shop.sql("INSERT INTO shop.accounts VALUES (7, 'account 7')")
    assert "orders_account_fkey" in said
    assert shop.databases() == {"shop"}


def test_a_dump_of_a_table_with_a_constraint_not_yet_validated_is_as_it_was(shop: Ground) -> None:
    shop.sql("ALTER TABLE shop.accounts ADD CONSTRAINT short CHECK (length(name) < 5) NOT VALID")
    try:
        record = shop.backup()
        status, answer = shop.ask("restore-test")
    finally:
        shop.sql("ALTER TABLE shop.accounts DROP CONSTRAINT short")
    assert record["constraints"]["not_validated"] == ["short on shop.accounts"]
    assert status == 0, answer


def test_two_restores_at_once_one_is_refused_with_who_makes_the_other(shop: Ground) -> None:
    with (shop.backups / ".restore.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(json.dumps({"pid": 4711, "doing": "a restore", "since": "2026-11-23T00:00:00Z"}))
        lock.flush()
        said = shop.refused(4, "restore", "--into=scratch")
        # A backup is not kept waiting by a restore.
        shop.backup()

    assert "process 4711 (a restore) since 2026-11-23T00:00:00Z" in said
    assert shop.ask("restore", "--into=scratch")[0] == 0


@pytest.mark.parametrize("child", ["", " PARTITION BY RANGE (id)"])
def test_a_reference_to_a_partitioned_table_holds_and_one_that_is_broken_is_found(
    shop: Ground, child: str
) -> None:
    shop.sql(
        "CREATE TABLE shop.days (id int PRIMARY KEY) PARTITION BY RANGE (id);"
        "CREATE TABLE shop.days_1 PARTITION OF shop.days FOR VALUES FROM (0) TO (10);"
        "CREATE TABLE shop.days_2 PARTITION OF shop.days FOR VALUES FROM (10) TO (20);"
        f"CREATE TABLE shop.visits (id int REFERENCES shop.days){child};"
        + ("CREATE TABLE shop.visits_1 PARTITION OF shop.visits DEFAULT;" if child else "")
        + "INSERT INTO shop.days SELECT generate_series(1, 19); INSERT INTO shop.visits SELECT generate_series(1, 19)"
    )
    try:
        shop.backup()
        status, answer = shop.ask("restore-test")
        shop.sql("SET session_replication_role = replica; DELETE FROM shop.days WHERE id IN (7, 17)")
        shop.backup()
        broken = shop.refused(3, "restore-test")
    finally:
        shop.sql("DROP TABLE shop.visits, shop.days")
    assert status == 0, answer
    assert "visits_id_fkey" in broken


@pytest.mark.every_version("14 knows no provider but the C library", of=(15,))
def test_a_database_that_another_library_sorts_is_restored_as_one(shop: Ground) -> None:
    shop.sql("CREATE DATABASE sorted TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de-DE'", "postgres")
    shop.configure(database="sorted")
    try:
        shop.backup()
        assert shop.ask("restore", "--into=scratch")[0] == 0
    finally:
        shop.configure()
    who = "SELECT datlocprovider, daticulocale FROM pg_database WHERE datname = 'scratch'"
    assert shop.sql(who, "postgres") == [("i", "de-DE")]
