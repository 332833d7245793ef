"""The migrator with the service's revisions on a real server: what `fab migrate` tells and the host records of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import psycopg
import pytest
from slipway.database.migration_run import facts

from fabfile.migration import events, source, statements
from tests.database.toolbox_ground import Ground, ground, server
from tests.unit.slipway import support as slipway_support

__all__ = ["ground", "server", "slipway_support"]
# Of slipway_migrator.session: the same in every release.
MIGRATION_LOCK = 0x73686F70
RUN = """
import runpy, sys
sys.path[:0] = sys.argv[1:4]
del sys.argv[1:4]
runpy.run_module("slipway_migrator", run_name="__main__")
"""
MIGRATOR = source.SERVICE.with_name("migrator")
BOOK = "CREATE SCHEMA shop; CREATE TABLE shop.alembic_version (version_num varchar(32) PRIMARY KEY)"


@pytest.fixture
def empty(ground: Ground) -> Iterator[psycopg.Connection[object]]:
    """A session in a database of its own, with a schema that is still empty; its name is `migrated`."""
    owner = ground.connect("postgres", "stock-correction")
    owner.execute("CREATE DATABASE migrated")
    with psycopg.connect(
        host=str(ground.directory), user="postgres", dbname="migrated", application_name="stock-correction"
    ) as session:
        session.execute(BOOK)
        session.commit()
        yield session
    owner.execute("DROP DATABASE migrated WITH (FORCE)")


def migrate(ground: Ground, seen: Callable[[str], None]) -> list[str]:
    """All that the migrator says until it has ended well. seen: called with each line as it comes."""
    libraries = source.libraries((source.SERVICE / source.LOCK).read_text(), source.CACHE)
    settings = {
        "SHOP_ENVIRONMENT": "test",
        "SHOP_DATABASE_HOST": str(ground.directory),
        "SHOP_DATABASE_NAME": "migrated",
        "SHOP_DATABASE_OWNER": "",
        "SHOP_MIGRATE_DATABASE_USER": "postgres",
        "SHOP_MIGRATE_LOCK_WAIT": "30",
        "SHOP_MIGRATE_RETRY_SECONDS": "60",
    }
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", RUN, str(libraries), str(source.SERVICE), str(MIGRATOR), "migrate"],
        env=settings,
        cwd=source.SERVICE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = []
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            seen(line)
    assert process.returncode == 0, lines
    return lines


def test_waiting_for_a_lock_and_for_another_migrator_is_told_and_recorded(
    ground: Ground, empty: psycopg.Connection[object]
) -> None:
    empty.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
    empty.commit()
    told: list[str] = []

    def seen(line: str) -> None:
        told.append(events.sentence(line))
        if "waits for another migration" in told[-1]:
            # It lets the migrator in, and then holds what the first revision writes.
            empty.execute("LOCK TABLE shop.alembic_version IN SHARE MODE")
            empty.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])
        if "try 2 in" in told[-1]:
            empty.rollback()

    ran = facts(migrate(ground, seen))
    shown, who = (
        "\n".join(told),
        f"pid {empty.info.backend_pid}, role postgres, stock-correction, idle in transaction",
    )
    assert f"so far: pid {empty.info.backend_pid}, role postgres, stock-correction, idle for" in shown
    assert f"in the way is {who}" in shown
    chain = [revision.id for revision in source.of_files(True).chain]
    assert [each["revision"] for each in ran["revisions"]] == chain
    assert (ran["revisions"][0]["tries"], ran["tries"], ran["to"]) == (2, 2, chain[-1])
    assert [each["pid"] for each in ran["blocked_by"]] == [empty.info.backend_pid]
    for revision in chain:
        assert f"{revision} begins" in shown
        assert f"{revision} applied in" in shown


def test_the_sql_of_this_services_revisions_is_what_a_plan_can_read() -> None:
    found = source.of_files(True)
    assert list(found.sql) == [revision.id for revision in found.chain]
    for sql in found.sql.values():
        assert "UPDATE alembic_version" in sql or "INSERT INTO alembic_version" in sql
        statements.effects(sql)
