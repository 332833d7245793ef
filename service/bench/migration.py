"""What the service's statements take while a migration is blocked: percentiles, and the longest.

`make bench BENCH=migrations` runs it, in a bit more than a minute, on a PostgreSQL of its own. A report holds
a transaction on the products; a migration that adds a column, and one that builds an index, wait for it.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anyio
from sqlalchemy import text

from bench.servers import DATABASE, SERVICE, Database, product_id
from shop.core.database import create_engine
from shop.core.health import revisions
from shop.core.logging import configure_logging

SECONDS = 20.0
SESSIONS = 4
READ = f"SELECT name, price, stock FROM products WHERE id = '{product_id(7)}'"
WRITE = f"UPDATE products SET stock = stock - 1, version = version + 1 WHERE id = '{product_id(9)}'"
SCENES = {
    "no migration": "",
    "a column, blocked": 'op.add_column("products", sa.Column("brand", sa.Text()))',
    "an index, blocked": 'create_index_concurrently("ix_products_price", "products", ["price"])',
}
WAITING = """
SELECT FROM pg_stat_activity WHERE application_name LIKE 'shop-migrate/%' AND wait_event_type = 'Lock'
"""
REVISION = """
import sqlalchemy as sa
from alembic import op
from slipway_migrator import create_index_concurrently

revision, down_revision, branch_labels, depends_on, kind = "blocked", "{head}", None, None, "expand"

def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    {line}
"""


async def waits(database: Database, statement: str, seconds: float, found: list[float]) -> None:
    """How long each statement took, in milliseconds, one sent after the other; one that fails raises."""
    engine = create_engine(database.settings())
    try:
        async with engine.connect() as connection:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                began = time.perf_counter()
                await connection.execute(text(statement))
                found.append(1000 * (time.perf_counter() - began))
                await anyio.sleep(0.002)
    finally:
        await engine.dispose()


async def measured(database: Database) -> dict[str, list[float]]:
    """The times of reads and of writes at once."""
    found: dict[str, list[float]] = {"reads": [], "writes": []}
    async with anyio.create_task_group() as tasks:
        for _ in range(SESSIONS):
            tasks.start_soon(waits, database, READ, SECONDS, found["reads"])
        tasks.start_soon(waits, database, WRITE, SECONDS, found["writes"])
    return found


def start_migration(database: Database, folder: Path, line: str) -> "subprocess.Popen[bytes]":
    """A migration of one further revision, which waits for the report."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(SERVICE / "migrations", folder)
    source = REVISION.format(head=revisions().head, line=line)
    (folder / "versions" / "2099_01_01_0000_blocked.py").write_text(source)
    said = {"app": "shop", "service": {"migrations": folder.name}}
    (folder.parent / "manifest.json").write_text(json.dumps(said))
    (folder / "migrate_database_password").write_text(database.cluster.migrate_password)
    environ = {
        "PYTHONPATH": str(SERVICE),
        "CREDENTIALS_DIRECTORY": str(folder),
        "SHOP_ENVIRONMENT": "test",
        "SHOP_DATABASE_HOST": str(database.cluster.socket_directory),
        "SHOP_DATABASE_PORT": str(database.cluster.port),
        "SHOP_DATABASE_NAME": DATABASE,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "slipway_migrator", "--project", str(folder.parent), "migrate"],
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


async def scene(database: Database, folder: Path, line: str) -> dict[str, list[float]]:
    """Measure under one line of a revision, and end the migration before it is through."""
    report = await database.cluster.connect(DATABASE)
    process = None
    try:
        await report.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM shop.products")
        if line:
            process = start_migration(database, folder, line)
            with anyio.fail_after(30):
                while not await database.cluster.fetch(DATABASE, WAITING):  # noqa: ASYNC110 - no event
                    await anyio.sleep(0.05)
        found = await measured(database)
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"the migration ended with status {process.returncode}: it was not blocked")
        return found
    finally:
        if process is not None:
            process.kill()
            process.wait()
        await report.close()


def shown(times: list[float]) -> str:
    """The percentiles of some times in milliseconds."""
    ordered = sorted(times)
    at = [ordered[int(len(ordered) * share)] for share in (0.5, 0.99)]
    return f"p50 {at[0]:.1f} ms, p99 {at[1]:.1f} ms, longest {ordered[-1]:.0f} ms of {len(ordered)}"


def main() -> None:
    """Print a line for each scene; leave nothing behind."""
    configure_logging("error", "bench", stream="stderr")
    database = Database()
    with tempfile.TemporaryDirectory() as directory:
        try:
            database.start()
            for name, line in SCENES.items():
                found = anyio.run(scene, database, Path(directory) / "migrations", line)
                for kind, times in found.items():
                    print(f"{name}, {kind}: {shown(times)}", flush=True)
        finally:
            database.cluster.remove()
    print(f"Load of the machine at the end {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")


if __name__ == "__main__":
    main()
