"""Measure physical backups: what archiving costs, and how long a restore takes as the database grows.

`make bench BENCH=recovery` runs it on a throw-away server of 14 on the disk of /tmp; SLIPWAY_BENCH_SIZES has other
sizes, in GB, the smallest first, and SLIPWAY_BENCH_TURNS=0 leaves out pgbench.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

from tests.database import clusters
from tests.database.physical_ground import Ground, ground
from tests.unit.plugins.test_postgresql_harness import run_as_owner

SIZES = [float(each) for each in os.environ.get("SLIPWAY_BENCH_SIZES", "0.3 1 3").split()]
PGBENCH = Path("/usr/lib/postgresql/15/bin/pgbench")
TURNS = int(os.environ.get("SLIPWAY_BENCH_TURNS", "3"))
CLIENTS, SECONDS, SCALE = 8, 20, 10
# Rows of which a third is random: neither as good to compress as zeros, nor as bad as what is encrypted.
ROWS = """
INSERT INTO shop.filler SELECT md5(n::text) || repeat('shop ', 13) FROM generate_series(1, {}) AS n
"""
ROW_BYTES = 136


def main() -> None:
    """Print the turns with and without archiving, then a line for each size."""
    with ground(prepared=True, where="/tmp") as shop:
        shop.sql("ALTER SYSTEM SET fsync = on")
        shop.sql("SELECT pg_reload_conf()")
        if TURNS:
            archiving(shop)
        shop.sql("CREATE TABLE shop.filler (text text)")
        print(
            f"\n{'GB':>6} {'filled, s':>10} {'full backup, s':>15} {'repository, GB':>15} {'restored, s':>12}"
            f" {'copying, s':>11} {'MB/s':>6} {'restore test, s':>16} {'with 1 GB of WAL, s':>20} {'load':>5}",
            flush=True,
        )
        for size in SIZES:
            grow(shop, size)


def archiving(shop: Ground) -> None:
    """The transactions a second of pgbench, in turns: archived nowhere, and into the repository."""
    bench(shop, "--initialize", "--quiet", f"--scale={SCALE}")
    own = str(shop.sql("SHOW archive_command"))
    found: dict[str, list[float]] = {"nowhere": [], "into the repository": []}
    for _ in range(TURNS):
        for name, command in zip(found, ("/bin/true", own), strict=True):
            archive_by(shop, command)
            shop.sql("CHECKPOINT")
            said = bench(shop, f"--client={CLIENTS}", f"--time={SECONDS}", "--jobs=2")
            found[name].append(float(re.findall(r"tps = ([\d.]+)", said)[0]))
    archive_by(shop, own)
    for name, values in found.items():
        mean = sum(values) / len(values)
        print(f"archived {name}: {', '.join(f'{each:.0f}' for each in values)} tps, {mean:.0f} in the mean")


def archive_by(shop: Ground, command: str) -> None:
    shop.sql(f"ALTER SYSTEM SET archive_command = '{command}'")
    shop.sql("SELECT pg_reload_conf()")


def bench(shop: Ground, *words: str) -> str:
    """What pgbench says."""
    return run_as_owner(PGBENCH, f"--host={shop.directory}", "--username=postgres", *words, "shop")


def grow(shop: Ground, size: float) -> None:
    """Fill the database up to a size in GB, back it up, restore it; then once more with WAL to be replayed."""
    filled = fill(shop, size)
    real = int(shop.sql("SELECT pg_database_size('shop')")) / 1e9
    say(f"{real:6.2f} {filled:10.1f}")
    made = shop.done("backup", "--type=full")
    kept = subprocess.run(
        ["du", "-sb", shop.repository / "backup/shop" / made["label"]],
        capture_output=True,
        text=True,
        check=True,
    )
    say(f" {made['seconds']:15.1f} {int(kept.stdout.split()[0]) / 1e9:15.2f}")
    found = restored(shop)
    speed = found["bytes"] / 1e6 / found["seconds"]
    say(f" {found['seconds']:12.1f} {found['copied_seconds']:11.1f} {speed:6.0f}")
    say(f" {shop.done('restore-test')['seconds']:16.1f}")
    shop.sql("CREATE TABLE shop.more AS SELECT text FROM shop.filler WITH NO DATA")
    began = shop.sql("SELECT pg_current_wal_lsn()")
    while int(shop.sql(f"SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '{began}')")) < 1e9:
        shop.sql(ROWS.format(500_000).replace("filler", "more"))
    shop.archived()
    say(f" {restored(shop)['seconds']:20.1f} {os.getloadavg()[0]:5.1f}\n")
    shop.sql("DROP TABLE shop.more")


def fill(shop: Ground, size: float) -> float:
    """Seconds to fill the database up to a size in GB; no WAL of it is archived: the next backup needs none."""
    began, own = time.monotonic(), str(shop.sql("SHOW archive_command"))
    archive_by(shop, "/bin/true")
    missing = size * 1e9 - int(shop.sql("SELECT pg_database_size('shop')"))
    shop.sql(ROWS.format(max(0, int(missing / ROW_BYTES))))
    shop.archived()
    archive_by(shop, own)
    shop.sql("CHECKPOINT")
    return time.monotonic() - began


def say(text: str) -> None:
    print(text, end="", flush=True)


def restored(shop: Ground) -> dict[str, float]:
    """What a restore of the newest moment beside the live server took; the copy is gone again."""
    found = shop.done("restore", "--latest", "--into=bench")
    shop.done("drop", "--into=bench")
    time.sleep(1)
    return found


if __name__ == "__main__":
    try:
        main()
    finally:
        clusters.leave()
