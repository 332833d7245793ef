"""A rehearsal on two throw-away clusters: the same copy, the same switch, and their seconds."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from database_backup.errors import BackupError, FailedError, RefusedError
from database_backup.server import command, environment
from database_backup.upgrade import moving, planning, preparing
from database_backup.upgrade.cluster import Cluster, both
from database_backup.upgrade.journal import Journal
from database_backup.upgrade.obstacles import listed
from database_backup.upgrade.settings import PLAIN, Settings, Side

REHEARSE = "rehearse"
CONF = """port = {port}
listen_addresses = ''
unix_socket_directories = '{socket}'
unix_socket_permissions = 0700
wal_level = logical
shared_buffers = 128MB
shared_preload_libraries = '{libraries}'
"""
COUNTS = """
SELECT json_build_object('table', c.oid::regclass::text, 'rows', (xpath('/row/n/text()', query_to_xml(
  format('SELECT count(*) AS n FROM %s', c.oid::regclass), false, true, '')))[1]::text::bigint)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'p'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast');
"""


def rehearse(settings: Settings) -> dict[str, Any]:
    """Copies the database into a cluster beside the live one, upgrades that copy there and back, and removes both.

    {"copy_seconds", "pause_seconds", "back_seconds", "tables", "detail"}. Raises RefusedError with what is in the way,
    FailedError with what a real upgrade would have met.
    """
    journal = Journal(settings)
    if journal.prepared or journal.unfinished:
        raise RefusedError(
            f"{planning.plan(settings)['said']} It is not rehearsed by this; nothing was changed."
        )
    facts = planning.require(settings)["facts"]
    live = both(settings)[settings.old.version]
    stage = _stage(settings)
    _clear(stage)
    try:
        _lay_out(stage, facts)
        old, new = both(stage).values()
        _pour(live, old)
        copied = preparing.prepare(stage)
        there = moving.move(stage, stage.new.version)
        with old.session(stage.database) as before, new.session(stage.database) as after:
            tables, came = (
                {row["table"]: row["rows"] for row in each.rows(COUNTS)} for each in (before, after)
            )
        if other := sorted(
            name for name in tables.keys() | came.keys() if tables.get(name) != came.get(name)
        ):
            raise FailedError(f"not all rows of the copy came over: {listed(other)}")
        back = moving.move(stage, stage.old.version)
    except (BackupError, OSError) as failure:
        raise FailedError(
            f"The rehearsal failed: {failure}. It was one of a copy, which is removed; the live server is as it was."
        ) from None
    finally:
        _clear(stage)
    found = {
        "copy_seconds": copied["seconds"],
        "pause_seconds": there["pause_seconds"],
        "back_seconds": back["pause_seconds"],
        "tables": len(tables),
    }
    with journal.step(REHEARSE, again=True) as said:
        assert said is not None
        said.update(found)
    detail = (
        f"A copy was upgraded to {settings.new.version} and back: {len(tables)} tables copied in "
        f"{copied['seconds']} s, writers "
        f"would have waited {there['pause_seconds']} s, and {back['pause_seconds']} s on the way back. It is "
        "removed again. Next: "
        f"fab db-upgrade --to {settings.new.version} --prepare"
    )
    return {**found, "detail": detail}


def _stage(settings: Settings) -> Settings:
    """The same upgrade in a folder of its own, on sockets of its own."""
    top = settings.rehearsals
    sides = [
        Side(side.version, top / side.version / "main", top / side.version / "main", side.programs)
        for side in (settings.old, settings.new)
    ]
    return dataclasses.replace(
        settings, control=PLAIN, socket=top, folder=top / "state", follow=(), old=sides[0], new=sides[1]
    )


def _lay_out(stage: Settings, facts: dict[str, Any]) -> None:
    """The folder, and an empty server of the old version in it, which runs."""
    top, owner = stage.socket, stage.account
    top.mkdir(mode=0o700)
    for folder in (top / stage.old.version, top / stage.new.version):
        folder.mkdir(mode=0o700)
        owner and shutil.chown(folder, owner, owner)
    stage.folder.mkdir(mode=0o700)
    owner and shutil.chown(top, owner, owner)
    old = Cluster(stage, stage.old)
    old.initialize(facts["locale"], facts["encoding"])
    old.configure(
        "slipway.conf", CONF.format(port=stage.port, socket=top, libraries=",".join(facts["libraries"]))
    )
    old.start()


def _pour(live: Cluster, copy: Cluster) -> None:
    """All of the database into the copy, through a pipe: it may be larger than memory."""
    preparing.load_roles(live, copy)
    here, there = live.settings.server(live.port), copy.settings.server(copy.port)
    with copy.session() as session:
        session.ask('CREATE DATABASE :"name" TEMPLATE template0;', name=here.database)
    # A newer one says what a server of the old version does not know.
    if (live.side.programs / "pg_dump").exists():
        here = dataclasses.replace(here, programs=live.side.programs)
    dump = subprocess.Popen(
        command(here, "pg_dump", "--no-subscriptions", "--no-password", here.database),
        env=environment(here, "upgrade"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/",
    )  # fmt: skip
    words = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null", there.database)
    load = subprocess.run(
        command(there, "psql", *words), env=environment(there, "upgrade"), stdin=dump.stdout, capture_output=True,
        text=True, check=False, cwd="/",
    )  # fmt: skip
    assert dump.stdout is not None
    dump.stdout.close()
    if dump.wait() != 0 or load.returncode != 0:
        raise FailedError(f"the copy could not be made: {load.stderr.strip()[-500:] or 'pg_dump failed'}")


def _clear(stage: Settings) -> None:
    """Stops what runs there, also of a rehearsal that was killed, and removes all of it."""
    for each in both(stage).values():
        each.remove()
    if Path(stage.socket).exists():
        shutil.rmtree(stage.socket)
    assert not os.path.lexists(stage.socket)
