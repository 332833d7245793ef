"""A backup of a real server: what it holds, what it says of itself, and what is left when it fails."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.database.backup_ground import Ground, ground
from tests.e2e.hosts import until

LONG = 120.0


@pytest.fixture
def shop(version: int) -> Iterator[Ground]:
    """A server of its own for one test."""
    with ground(version) as made:
        yield made


@pytest.mark.every_version("14 is dumped by the programs of 15, 15 by its own", of=(14, 15))
def test_a_backup_says_what_it_holds(shop: Ground) -> None:
    record = shop.backup("--reason=before a change")

    dump = shop.backups / record["file"]
    assert record["tables"] == {
        "shop.accounts": 50,
        "shop.alembic_version": 1,
        'shop."Od""d; name\'s\n"': 2,
        "shop.orders": 500,
    }
    assert record["revision"] == "a3f6d8025b71"
    assert record["release"] == "20261122T160501Z-3f2a9c1"
    assert record["reason"] == "before a change"
    assert record["server"].startswith(str(shop.version))
    assert record["bytes"] == dump.stat().st_size
    assert record["sha256"] == hashlib.sha256(dump.read_bytes()).hexdigest()
    assert (dump.stat().st_mode & 0o777, dump.with_suffix(".json").stat().st_mode & 0o777) == (0o600, 0o640)
    assert json.loads(dump.with_suffix(".json").read_text())["tables"] == record["tables"]
    latest = shop.mark("latest")
    assert {key: latest[key] for key in ("at", "file", "bytes", "sha256", "ok")} == {
        **{key: record[key] for key in ("at", "file", "bytes", "sha256")},
        "ok": True,
    }
    assert "553 rows in 4 tables, schema a3f6d8025b71" in latest["detail"]


def test_dump_and_counts_are_of_one_moment_while_rows_arrive(shop: Ground) -> None:
    stop = False

    def arrive() -> int:
        count = 0
        with shop.connect() as connection:
            while not stop:
                connection.execute("INSERT INTO shop.orders (account) VALUES (1)")
                count += 1
        return count

    with ThreadPoolExecutor() as pool:
        arriving = pool.submit(arrive)
        try:
            until(
                "rows arrive", lambda: shop.sql("SELECT count(*) > 600 FROM shop.orders")[0][0], seconds=LONG
            )
            records = [shop.backup() for _ in range(2)]
        finally:
            stop = True
        assert arriving.result() > 0
    assert records[0]["tables"]["shop.orders"] < records[1]["tables"]["shop.orders"]
    for record in records:
        status, answer = shop.ask("restore-test", f"--from={record['file']}")
        assert status == 0, answer


def test_each_kind_keeps_its_newest_and_nothing_else_is_removed(shop: Ground) -> None:
    (shop.backups / "notes.txt").write_text("somebody's own")
    point = shop.backup("--kind=point", "--reason=before migration a3f6d8025b71")
    routine = [shop.backup("--keep=2")["file"] for _ in range(4)]

    kept = {name for name in shop.names() if name.endswith(".dump")}
    assert kept == {point["file"], *routine[2:]}
    assert "notes.txt" in shop.names()
    assert len(shop.names()) == 3 * 2 + 2
    assert "from 1 to 1000" in shop.refused(2, "backup", "--keep=0")


def test_nobody_who_comes_by_sudo_pushes_out_what_the_timer_made(shop: Ground) -> None:
    """deploy may run the program as its user: whatever it types, the dumps of the timer and the points stay."""
    point, routine = shop.backup("--kind=point")["file"], shop.backup()["file"]
    for words in (["backup"], ["backup", "--keep=1"], ["backup", "--kind=point", "--keep=1"]):
        status, answer = shop.ask(*words, SUDO_UID="1001")
        assert (status, "Nothing was changed" in answer["message"]) == (2, True), answer
    for _ in range(3):
        status, answer = shop.ask("backup", "--kind=hand", "--keep=1", SUDO_UID="1001")
        assert status == 0, answer
    kept = {name for name in shop.names() if name.endswith(".dump")}
    assert kept == {point, routine, answer["result"]["file"]}


def test_who_looks_reads_the_marks_and_nobody_the_dumps(shop: Ground) -> None:
    made = shop.backup()["file"]
    modes = {path.name: path.stat().st_mode & 0o777 for path in shop.backups.iterdir()}
    assert modes[made] == 0o600
    assert modes[made.replace(".dump", ".json")] == modes["latest.json"] == 0o640


def test_a_second_backup_is_refused_with_who_makes_the_first(shop: Ground) -> None:
    with shop.connect() as blocker, blocker.transaction():
        blocker.execute("LOCK TABLE shop.orders IN ACCESS EXCLUSIVE MODE")
        first = shop.begin("backup")
        try:
            until("the first backup waits", lambda: waiting(shop), seconds=LONG)
            said = shop.refused(4, "backup")
        finally:
            first.kill()
            first.wait()
    assert f"process {first.pid} (a backup of shop)" in said
    assert shop.names() == []


def waiting(shop: Ground) -> bool:
    """Whether the backup's session waits for a lock."""
    asked = (
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'slipway_backup' AND wait_event_type = 'Lock'"
    )
    return bool(shop.sql(asked)[0][0])


def test_a_killed_backup_leaves_no_process_and_the_next_sweeps_its_files(shop: Ground) -> None:
    before = shop.backup()
    with shop.connect() as blocker, blocker.transaction():
        # pg_dump reads this table, and nothing that comes before it does.
        blocker.execute("LOCK TABLE pg_catalog.pg_foreign_data_wrapper IN ACCESS EXCLUSIVE MODE")
        first = shop.begin("backup")
        until("pg_dump waits", lambda: waiting(shop), seconds=LONG)
        assert any(name.endswith(".dump.part") for name in shop.names())
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    (shop.backups / ".20200101T000000Z.dump.part").write_text("half")
    (shop.backups / "20200101T000000Z.json").write_text("{}")
    until("its sessions are gone", lambda: not sessions(shop), seconds=LONG)

    record = shop.backup()

    assert ".20200101T000000Z.dump.part" in record["swept"]
    assert "20200101T000000Z.json" in record["swept"]
    assert {before["file"], record["file"], "latest.json"} <= set(shop.names())
    assert not [name for name in shop.names() if name.endswith(".part")]
    assert shop.mark("latest")["file"] == record["file"]


def sessions(shop: Ground) -> int:
    return int(shop.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'slipway_backup'")[0][0])


def test_a_note_that_a_killed_run_did_not_write_is_made_up_for(shop: Ground) -> None:
    record = shop.backup()
    (shop.backups / "latest.json").unlink()
    shop.stop()

    shop.refused(3, "backup")

    assert shop.mark("latest")["file"] == record["file"]


def test_a_stopped_server_is_said_and_the_newest_backup_is_named(shop: Ground) -> None:
    record = shop.backup()
    shop.stop()

    said = shop.refused(3, "backup")

    assert "No backup of shop was made: the database shop answers:" in said
    assert "Is the server running locally" in said
    assert f"The newest is {record['file']}" in said
    latest = shop.mark("latest")
    assert (latest["ok"], latest["file"], latest["at"]) == (False, record["file"], record["at"])
    assert "the database shop answers" in latest["detail"]


def test_a_missing_folder_and_missing_settings_are_said(shop: Ground) -> None:
    shutil.rmtree(shop.backups)
    assert "cannot be written (No such file or directory)" in shop.refused(2, "backup")
    shop.config.write_text("[backup]\ndatabase = shop\n")
    assert "does not say what to back up" in shop.refused(2, "backup")


@pytest.fixture
def small_disk(shop: Ground) -> Iterator[Path]:
    """The folder of backups on a disk of 12 MB of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts a small disk")
    options = f"size=12m,mode=0700,uid={os.geteuid()}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", shop.backups], check=True)
    yield shop.backups
    subprocess.run(["umount", shop.backups], check=True)


def noise(shop: Ground, megabytes: int) -> None:
    """Rows that cannot be compressed."""
    shop.sql(
        "INSERT INTO shop.orders (account, note) SELECT 1, string_agg(uuid_send(gen_random_uuid()), '') "
        f"FROM generate_series(1, {megabytes << 16}) n GROUP BY n / 500"
    )


def test_a_disk_without_room_is_seen_before_anything_is_written(shop: Ground, small_disk: Path) -> None:
    noise(shop, 16)
    said = shop.refused(2, "backup")

    assert f"the disk of {small_disk} has" in said
    assert "There is no other." in said
    assert shop.names() == ["latest.json"]
    assert shop.mark("latest")["ok"] is False


def test_a_disk_that_fills_while_the_dump_is_written(shop: Ground, small_disk: Path) -> None:
    first = shop.backup()
    noise(shop, 16)

    said = shop.refused(3, "backup")

    assert "No space left on device" in said
    assert f"The newest is {first['file']}" in said
    assert not [name for name in shop.names() if name.endswith(".part")]
    assert shop.mark("latest")["ok"] is False
    assert shop.ask("restore-test")[0] == 0
