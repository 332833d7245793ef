"""What goes wrong with physical backups: it is told by name, and a run that was killed is made up for by the next."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.database.physical_ground import Ground, ground, tool
from tests.e2e.hosts import until

LONG = 120.0
# pgBackRest, which waits before it copies until it is let go.
WAITING = """#!/bin/sh
case " $* " in *" restore "*)
  touch {gate}/begun
  until [ -e {gate}/go ]; do sleep 0.05; done
esac
exec {tool} "$@"
"""


@pytest.fixture
def shop() -> Iterator[Ground]:
    """A server with a repository and a first full backup, of its own."""
    with ground(prepared=True) as made:
        yield made


@pytest.fixture(scope="module")
def whole() -> Iterator[Ground]:
    """The same, for tests that leave it as it was."""
    with ground(prepared=True) as made:
        yield made


def flip(path: Path) -> None:
    """Turn one bit over, in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def killed(shop: Ground, words: tuple[str, ...], sign: str) -> None:
    """Begin a command, kill it once a file is there, and await the end of pgBackRest's own processes."""
    begun = shop.begin(*words)
    until(f"{sign} is there", lambda: any(shop.directory.glob(sign)), seconds=LONG)
    begun.kill()
    begun.communicate()
    for lock in shop.marks.glob(".*.lock"):
        hold = ["flock", "--nonblock", str(lock), "true"]
        until(f"{lock} is free", lambda: subprocess.run(hold).returncode == 0, seconds=LONG)  # noqa: B023 -- at once


def test_while_the_repository_is_away_writes_go_on_and_nothing_is_begun_anew(whole: Ground) -> None:
    whole.repository.rename(whole.directory / "away")
    for _ in range(3):
        whole.sql("INSERT INTO shop.accounts SELECT max(id) + 1, 'more' FROM shop.accounts")
        whole.sql("SELECT pg_switch_wal()")
    until("archiving fails", lambda: whole.sql("SELECT failed_count > 0 FROM pg_stat_archiver"), seconds=LONG)
    for words in (("restore", "--latest"), ("backup",), ("continuity",)):
        assert "The repository holds nothing of shop" in whole.refused(2, *words)
    assert "is its disk mounted?" in whole.refused(2, "prepare")
    assert whole.mark("look")["ok"] is False
    (whole.directory / "away").rename(whole.repository)

    whole.sql("INSERT INTO shop.accounts SELECT max(id) + 1, 'more' FROM shop.accounts")
    whole.archived()
    assert whole.done("continuity")["gaps"] == []


def test_a_gap_in_the_wal_is_told_and_no_moment_behind_it_is_promised(shop: Ground) -> None:
    moment = shop.now()
    # A segment is known to be of its second.
    time.sleep(1.1)
    for _ in range(4):
        shop.sql("INSERT INTO shop.accounts SELECT max(id) + 1, 'more' FROM shop.accounts")
        shop.archived()
    assert shop.done("continuity")["gaps"] == []
    (taken,) = [path for path in shop.files("archive", ".zst") if path.name[16:24] == "00000005"]
    taken.unlink()

    (gap,) = shop.done("continuity")["gaps"]
    assert (gap["missing"], gap["after"][16:], gap["closed_by"]) == (1, "00000004", "")
    assert "no moment can be restored" in shop.mark("look")["gaps"][0]["said"]
    assert "1 segments of WAL are missing" in shop.refused(2, "restore", "--latest")
    assert shop.names() == []
    shop.done("restore", f"--time={moment}", "--into=before_it")

    label = shop.done("backup", "--type=full")["label"]
    (gap,) = shop.done("continuity")["gaps"]
    assert gap["closed_by"] == label
    shop.done("restore", "--latest", "--into=behind_it")


def test_wal_that_the_server_took_for_kept_and_is_not_there_is_a_gap_at_the_end(shop: Ground) -> None:
    shop.archived()
    newest = max(shop.files("archive", ".zst"), key=lambda path: path.name)
    newest.unlink()
    (gap,) = shop.done("continuity")["gaps"]
    assert (gap["missing"], gap["before"]) == (1, "")


def test_a_bit_that_turned_over_in_a_backup_is_told_with_the_files_name(shop: Ground) -> None:
    damaged = shop.files("backup", ".zst")[0]
    flip(damaged)
    said = shop.refused(3, "restore-test")
    assert damaged.name in said
    assert shop.mark("restore-test")["ok"] is False
    assert damaged.name in shop.mark("look")["verify"]["detail"]
    assert damaged.name in shop.refused(3, "restore", "--latest")
    assert shop.names() == []


def test_a_page_that_is_damaged_in_the_live_data_is_told_by_the_backup(shop: Ground) -> None:
    path = shop.sql("SELECT pg_relation_filepath('shop.orders')")
    shop.sql("CHECKPOINT")
    flip(shop.directory / "data" / str(path))
    assert "has pages whose checksums are wrong" in shop.refused(3, "backup", "--type=full")
    assert len(shop.mark("look")["damaged"]) == 1
    assert shop.mark("latest")["ok"] is False


def test_a_backup_that_was_killed_is_made_by_the_next(shop: Ground) -> None:
    shop.sql(
        "CREATE TABLE shop.bulk AS SELECT generate_series(1, 400000) AS id, repeat(md5(random()::text), 4) AS text"
    )
    killed(shop, ("backup", "--type=full"), "repository/backup/shop/*F/pg_data/base")
    made = shop.done("backup", "--type=full")
    assert made["kind"] == "full"
    assert shop.done("restore-test")["backup"] == made["label"]


@pytest.mark.skipif(os.geteuid() != 0, reason="a disk of one's own takes root")
def test_a_repository_whose_disk_is_full_is_told_and_the_next_backup_is_whole(shop: Ground) -> None:
    before = shop.directory / "before"
    subprocess.run(["cp", "--archive", shop.repository, before], check=True)
    owner = "mode=0755,uid={0.st_uid},gid={0.st_gid}".format(before.stat())
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=200m,{owner}", "tmpfs", shop.repository], check=True)
    try:
        subprocess.run(["cp", "--archive", f"{before}/.", shop.repository], check=True)
        rest = os.statvfs(shop.repository)
        filler = shop.repository / "filler"
        subprocess.run(
            ["fallocate", "-l", str(rest.f_bavail * rest.f_frsize - (1 << 20)), filler], check=True
        )
        status, answer = shop.ask("backup", "--type=full")
        assert status == 3, answer
        assert f"The disk of {shop.repository} was full" in answer["message"]
        assert "Once there is room: fab db-backup --type=full" in answer["message"]
        assert shop.mark("latest")["ok"] is False
        shop.sql("INSERT INTO shop.orders (account) SELECT 1 FROM generate_series(1, 1000)")
        filler.unlink()
        shop.archived()
        made = shop.done("backup", "--type=full")
        assert shop.done("restore-test")["backup"] == made["label"]
        assert shop.done("continuity")["gaps"] == []
    finally:
        subprocess.run(["umount", "--lazy", shop.repository], check=True)


def test_a_restore_that_was_killed_leaves_nothing_behind_the_next_one(shop: Ground) -> None:
    for sign in ("sides/side/about.json", "sides/side/data/PG_VERSION", "sides/side/data/postmaster.pid"):
        killed(shop, ("restore", "--latest", "--into=side"), sign)
        assert shop.names() == ["side"]
        result = shop.done("restore", "--latest", "--into=next")
        assert (result["swept"], shop.names()) == (["side"], ["next"])
        shop.done("drop", "--into=next")
    killed(shop, ("restore-test",), "sides/restore_test/data/postmaster.pid")
    assert shop.done("restore-test")["exact"] is True
    assert shop.names() == []
    assert shop.sql("SELECT count(*) FROM shop.accounts") == 50


def test_two_restores_at_once_are_not_both_begun(whole: Ground) -> None:
    begun = whole.begin("restore", "--latest", "--into=first")
    until("it has begun", lambda: (whole.sides / "first").exists(), seconds=LONG)
    assert "the same is being done by process" in whole.refused(4, "restore", "--latest", "--into=second")
    begun.communicate()
    assert "is there already" in whole.refused(2, "restore", "--latest", "--into=first")
    assert whole.names() == ["first"]
    whole.done("drop", "--into=first")


def test_a_disk_without_room_is_refused(whole: Ground) -> None:
    small = whole.directory / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0777", "tmpfs", small], check=True)
    try:
        whole.configure(sides=small)
        assert "may need" in whole.refused(2, "restore", "--latest")
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)
    whole.configure()


@pytest.mark.parametrize("left", [4 << 10, 2 << 20], ids=["before-the-first-file", "amid-the-data"])
def test_a_disk_that_fills_up_while_it_is_restored_to_leaves_the_live_cluster_as_it_was(
    whole: Ground, left: int
) -> None:
    small = whole.directory / "tight"
    small.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600m,mode=0777", "tmpfs", small], check=True)
    gate = whole.directory / f"gate-{left}"
    gate.mkdir()
    gate.chmod(0o777)
    waiting = whole.directory / "waiting"
    waiting.write_text(WAITING.format(tool=tool(), gate=gate))
    waiting.chmod(0o755)
    try:
        whole.configure(sides=small, tool=waiting)
        begun = whole.begin("restore", "--latest")
        until("room was found, and it copies", lambda: (gate / "begun").exists(), seconds=LONG)
        rest = os.statvfs(small)
        subprocess.run(
            ["fallocate", "-l", str(rest.f_bavail * rest.f_frsize - left), small / "filler"], check=False
        )
        (gate / "go").touch()
        said, _ = begun.communicate()
        (small / "filler").unlink()
        assert begun.returncode == 3, said
        assert f"The disk of {small} was full" in said
        assert "the live cluster and the repository are as they were" in said
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)
        whole.configure()
    assert whole.sql("SELECT count(*) FROM shop.orders") == 500
    whole.done("restore", "--latest")
    whole.done("drop", "--into=side")


def test_what_was_changed_by_alter_system_does_not_reach_the_restored_cluster(shop: Ground) -> None:
    shop.sql("ALTER SYSTEM SET listen_addresses = '127.0.0.1'")
    shop.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
    shop.done("backup", "--type=full")
    shop.done("restore", "--latest")
    shown = [
        shop.in_side("side", f"SHOW {name}")
        for name in ("listen_addresses", "archive_mode", "archive_command")
    ]
    assert shown == ["", "off", "(disabled)"]
    with pytest.raises(AssertionError, match=r"pg_hba\.conf rejects"):
        shop.in_side("side", "SELECT 1", user="shop_owner")


def test_a_restored_server_that_ended_is_dropped_like_one_that_runs(whole: Ground) -> None:
    whole.done("restore", "--latest")
    pid = int((whole.sides / "side/data/postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.5)
    assert whole.done("list")["sides"][0]["running"] is False
    whole.done("drop", "--into=side")
    assert whole.names() == []
