"""A disk that is full or loses power under a server that writes: what was confirmed is there afterwards, and whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fabfile.database.checks.judging import About
from fabfile.database.checks.sections import disks
from fabfile.database.findings import Finding, Level
from tests.database import catalogue_ground, clusters
from tests.database.backup_ground import clients, template
from tests.e2e.hosts import until
from tests.unit.plugins.test_postgresql_harness import owned_directory, run_as_owner

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="a disk of one's own takes root"),
]

VERSION, PORT, SIZE = clusters.USUAL, 5432, "400M"
LONG = 120.0
CONF = "listen_addresses = ''\ncheckpoint_timeout = 30s\nmax_wal_size = 64MB\nmin_wal_size = 32MB\n"


@dataclass
class Disk:
    """A file system in a file, and the server whose data lie on it."""

    directory: Path
    image: Path
    confirmed: list[int] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.directory / "disk/data"

    def mount(self) -> None:
        (self.directory / "disk").mkdir(exist_ok=True)
        subprocess.run(["mount", "-o", "loop", self.image, self.directory / "disk"], check=True)

    def unmount(self) -> None:
        clusters.stop(VERSION, self.data)
        subprocess.run(["umount", self.directory / "disk"], check=True)

    def start(self) -> None:
        try:
            clusters.start(VERSION, self.data, self.directory, PORT)
        except AssertionError as failure:
            raise AssertionError((self.directory / "log").read_text()[-2000:]) from failure

    def connect(self) -> psycopg.Connection[Any]:
        where = {"host": str(self.directory), "port": PORT, "dbname": "shop", "user": "postgres"}
        return psycopg.connect(autocommit=True, **where)  # type: ignore[arg-type]

    def sql(self, statement: str) -> Any:
        with self.connect() as session:
            cursor = session.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None

    def fill(self, share: float) -> None:
        """Fills the disk up to a share of what others than root may use."""
        seen = os.statvfs(self.data)
        used = (seen.f_blocks - seen.f_bfree) * seen.f_frsize
        missing = int((used + seen.f_bavail * seen.f_frsize) * share) - used
        with (self.directory / "disk/filler").open("ab") as filler:
            os.posix_fallocate(filler.fileno(), filler.tell(), missing)

    def judged(self) -> tuple[Level, str]:
        """What db-status says of it: the disk of the data comes first."""
        facts = catalogue_ground.facts_of(VERSION, self.directory, PORT)
        one = next(iter(disks.disks(About("test", "shop", datetime.now(UTC), 0, facts=facts))))
        assert isinstance(one, Finding)
        return one.level, one.sentence

    def answers(self) -> bool:
        with contextlib.suppress(psycopg.Error):
            return bool(self.sql("SELECT 1"))
        return False

    def lost(self) -> set[int]:
        """The rows that were confirmed and are not there."""
        with self.connect() as session:
            there = {row[0] for row in session.execute("SELECT id FROM shop.told")}
        return set(self.confirmed) - there

    def is_whole(self) -> None:
        """Every page and index read by PostgreSQL's own check."""
        run_as_owner(
            clients(VERSION) / "pg_amcheck", f"--host={self.directory}", f"--port={PORT}", "--username=postgres",
            "--install-missing", "--heapallindexed", "shop",
        )  # fmt: skip

    @contextlib.contextmanager
    def written(self) -> Iterator[None]:
        """Rows are written one after the other; what was confirmed is noted."""
        ends = threading.Event()

        def write() -> None:
            while not ends.is_set():
                with contextlib.suppress(psycopg.Error), self.connect() as session:
                    while not ends.is_set():
                        statement = "INSERT INTO shop.told (filler) VALUES (repeat('x', 2000)) RETURNING id"
                        row = session.execute(statement).fetchone()
                        assert row is not None
                        self.confirmed.append(row[0])
                time.sleep(0.05)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            yield
        finally:
            ends.set()
            thread.join()

    def processes(self) -> list[int]:
        """The server's, its sessions' and its helpers'."""
        first = (self.data / "postmaster.pid").read_text().split()[0]
        found = subprocess.run(["pgrep", "--parent", first], capture_output=True, text=True, check=False)
        return [int(first), *map(int, found.stdout.split())]


@pytest.fixture
def disk() -> Iterator[Disk]:
    directory = owned_directory("slipway-disk-")
    directory.chmod(0o755)
    made = Disk(directory, directory / "image")
    subprocess.run(["truncate", "-s", SIZE, made.image], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", made.image], check=True)
    made.mount()
    try:
        shutil.chown(directory / "disk", *_owner(directory))
        clusters.copy(template(VERSION), made.data)
        with (made.data / "postgresql.conf").open("a") as conf:
            conf.write(CONF + "fsync = on\nfull_page_writes = on\n")
        # What initdb itself would have written through.
        subprocess.run(["sync", "--file-system", made.data], check=True)
        made.start()
        made.sql("CREATE TABLE shop.told (id bigserial PRIMARY KEY, filler text)")
        yield made
    finally:
        made.unmount()
        shutil.rmtree(directory)


def _owner(path: Path) -> tuple[int, int]:
    about = path.stat()
    return about.st_uid, about.st_gid


def cut(disk: Disk) -> None:
    """What was on the disk at a moment, as it is found when power comes back; the server of that moment is gone."""
    pids = disk.processes()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    # What the kernel has not written yet is in no file: this is the disk, and not the server's view of it.
    shutil.copyfile(disk.image, disk.directory / "found")
    for pid in reversed(pids):
        os.kill(pid, signal.SIGKILL)
    until("it has ended", lambda: not any(Path(f"/proc/{pid}/root").exists() for pid in pids), seconds=LONG)
    subprocess.run(["umount", disk.directory / "disk"], check=True)
    (disk.directory / "found").replace(disk.image)
    disk.mount()
    # A boot has neither the sockets of before, nor processes with its numbers.
    for path in (*disk.directory.glob(".s.PGSQL.*"), disk.data / "postmaster.pid"):
        path.unlink(missing_ok=True)


def test_a_power_cut_under_a_writer_loses_nothing_that_was_confirmed(disk: Disk) -> None:
    with disk.written():
        until("rows are written", lambda: len(disk.confirmed) > 500, seconds=LONG)
        disk.sql("CHECKPOINT")
        until("more are", lambda: len(disk.confirmed) > 1500, seconds=LONG)
        cut(disk)
    disk.start()

    assert disk.lost() == set()
    disk.is_whole()


def test_a_server_that_writes_nothing_through_loses_rows_so_the_cut_is_one(disk: Disk) -> None:
    disk.sql("CHECKPOINT")
    disk.sql("ALTER SYSTEM SET fsync = off")
    disk.sql("SELECT pg_reload_conf()")
    with disk.written():
        until("rows are written", lambda: len(disk.confirmed) > 500, seconds=LONG)
        cut(disk)
    disk.start()

    assert len(disk.lost()) > 0


def test_a_disk_that_is_full_under_the_data_is_told_before_and_costs_nothing_that_was_confirmed(
    disk: Disk,
) -> None:
    assert disk.judged()[0] is Level.OK
    for share, level in ((0.82, Level.WARN), (0.92, Level.CRITICAL)):
        disk.fill(share)
        found = disk.judged()
        assert found[0] is level, found
        assert f"{100 * share:.0f} % full" in found[1]
    with disk.written():
        until("rows are written", lambda: len(disk.confirmed) > 200, seconds=LONG)
        disk.fill(0.997)
        log = disk.directory / "log"
        until("it says so", lambda: "No space left on device" in log.read_text(), seconds=LONG)
        time.sleep(2)
        (disk.directory / "disk/filler").unlink()
        if not disk.answers():
            (disk.data / "postmaster.pid").unlink(missing_ok=True)
            disk.start()
        before = len(disk.confirmed)
        until("rows are written again", lambda: len(disk.confirmed) > before + 50, seconds=LONG)

    assert disk.lost() == set()
    disk.is_whole()


def test_a_slot_that_nobody_reads_is_lost_before_the_disk_is_full(disk: Disk) -> None:
    disk.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '64MB'")
    disk.sql("SELECT pg_reload_conf()")
    disk.sql("SELECT pg_create_physical_replication_slot('dead', true)")
    status = "SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'dead'"
    largest = 0
    with disk.written():
        until_lost = time.monotonic() + LONG
        while disk.sql(status) != "lost":
            assert time.monotonic() < until_lost, disk.sql(status)
            disk.sql("SELECT pg_logical_emit_message(false, 'fill', repeat('x', 8000000))")
            disk.sql("SELECT pg_switch_wal()")
            disk.sql("CHECKPOINT")
            largest = max(largest, int(disk.sql("SELECT sum(size) FROM pg_ls_waldir()")))
        before = len(disk.confirmed)
        until("rows are written", lambda: len(disk.confirmed) > before + 50, seconds=LONG)

    print(f"pg_wal had {largest >> 20} MB at most")
    assert largest < 300 << 20
    assert disk.lost() == set()
