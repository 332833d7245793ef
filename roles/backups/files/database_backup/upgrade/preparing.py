"""The new cluster beside the one that serves: its roles, its schema, all rows, and what is written since."""

from __future__ import annotations

import subprocess
import time
from typing import Any

from database_backup.errors import FailedError, RefusedError
from database_backup.server import command, environment, shown
from database_backup.upgrade import known, planning, stream
from database_backup.upgrade.cluster import Cluster, both
from database_backup.upgrade.journal import BEGIN, END, PREPARE, Journal
from database_backup.upgrade.settings import Settings

LOOK = 0.5
# Whoever may look at the access rules may look at this, too, which a server before 15 has none of.
GRANT = """
SELECT format(said, rolname) FROM pg_class c, aclexplode(c.relacl) a JOIN pg_roles r ON r.oid = a.grantee,
  (VALUES ('GRANT SELECT ON pg_ident_file_mappings TO %I'),
          ('GRANT EXECUTE ON FUNCTION pg_ident_file_mappings() TO %I')) AS of_it(said)
WHERE c.oid = 'pg_hba_file_rules'::regclass AND a.privilege_type = 'SELECT' AND a.grantee <> c.relowner
  AND to_regclass('pg_ident_file_mappings') IS NOT NULL \\gexec
"""
OPEN = """
SELECT format('ALTER DATABASE %I CONNECTION LIMIT %s', :'name', :'limit') \\gexec
"""


def prepare(settings: Settings) -> dict[str, Any]:
    """Makes the new cluster and has it follow. What a killed run began is gone on with, or made anew.

    Raises RefusedError with what is in the way, FailedError with what is left.
    """
    journal = Journal(settings)
    if journal.prepared and not journal.unfinished:
        raise RefusedError(f"{planning.plan(settings)['said']} Nothing was changed.")
    begun = journal.unfinished
    if begun and begun["step"] != PREPARE:
        raise RefusedError(f"{planning.plan(settings)['said']} Nothing was changed.")
    old, new = both(settings).values()
    if begun:
        facts = begun["facts"]
    else:
        facts = planning.require(settings)["facts"]
        journal.write(PREPARE, BEGIN, facts=facts)
    began = time.monotonic()
    if not _follows(journal, old, new):
        _build(settings, journal, old, new, facts)
    with journal.step("copy") as said:
        if said is not None:
            said["copy_seconds"] = round(_copied(new, began), 1)
    with journal.step("analyze") as said:
        if said is not None:
            _analyze(new)
    seconds = round(time.monotonic() - began, 1)
    journal.write(PREPARE, END, seconds=seconds)
    left_out = ", ".join(journal.last("make").get("left_out", []))
    told = f"{left_out}, which {new.side.version} does not have, became a comment. " if left_out else ""
    detail = (
        f"{new} follows {old} with all rows, in {seconds} s. {old} serves as before; its schema stays as it is "
        f"until the upgrade is finished or cancelled. {told}Next: fab db-upgrade --to {settings.new.version} --switch"
    )
    return {"seconds": seconds, "copy_seconds": journal.last("copy")["copy_seconds"], "detail": detail}


def _follows(journal: Journal, old: Cluster, new: Cluster) -> bool:
    """Whether an earlier run came so far that only rows are missing."""
    if not journal.done("subscribe"):
        return False
    new.start()
    with old.session() as session:
        slot = session.rows(stream.SLOT)
    return bool(slot) and not slot[0]["lost"]


def _build(settings: Settings, journal: Journal, old: Cluster, new: Cluster, facts: dict[str, Any]) -> None:
    # Half of a cluster is not worth an inquiry.
    with journal.step("make", again=True) as said:
        assert said is not None
        new.remove()
        with old.session() as session:
            stream.drop_slots(session)
        new.create(old, facts["locale"], facts["encoding"])
        said["left_out"] = known.leave_out(settings, new)
        new.start()
    with journal.step("freeze", again=True) as _, old.session(settings.database) as session:
        session.ask(stream.FREEZE)
        stream.publish(session)
    with journal.step("schema", again=True) as _:
        load(old, new)
        with new.session() as session:
            session.ask(OPEN, name=settings.database, limit="0")
    with journal.step("subscribe", again=True) as _, new.session(settings.database) as session:
        session.ask(GRANT)
        stream.publish(session)
        stream.subscribe(session, old, copy=True)


def load(old: Cluster, new: Cluster) -> None:
    """Roles with their passwords and settings, and the database's schema, from one into the other, through pipes."""
    load_roles(old, new)
    schema = _said(old, "pg_dump", "--schema-only", "--create", "--no-subscriptions", old.settings.database)
    _load(new, schema)


def load_roles(old: Cluster, new: Cluster) -> None:
    """The roles of one in the other, but for the superuser that is there."""
    roles = _said(old, "pg_dumpall", "--globals-only", "--no-tablespaces")
    kept = [line for line in roles.splitlines() if line != "CREATE ROLE postgres;"]
    _load(new, "\n".join(kept))


def _load(new: Cluster, text: str) -> None:
    words = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null", "postgres")
    _run(new, text, "psql", *words)


def _said(cluster: Cluster, program: str, *words: str) -> str:
    return _run(cluster, "", program, "--no-password", *words)


def _run(cluster: Cluster, text: str, program: str, *words: str) -> str:
    where = cluster.settings.server(cluster.port)
    done = subprocess.run(
        command(where, program, *words), env=environment(where, "upgrade"), input=text, capture_output=True, text=True,
        check=False, cwd="/",
    )  # fmt: skip
    if done.returncode != 0:
        raise FailedError(f"{program} ended with status {done.returncode}: {shown(done.stderr)}")
    return done.stdout


def _copied(new: Cluster, began: float) -> float:
    """Waits until every table is there and followed; seconds since began."""
    with new.session(new.settings.database) as session:
        while True:
            (tables,) = session.rows(stream.COPIED)
            if tables["all"] == tables["there"] and session.rows(stream.WORKERS)[0]:
                return time.monotonic() - began
            if not new.runs:
                raise FailedError(
                    f"{new} has ended while rows were copied. The live server serves; --prepare goes on."
                )
            time.sleep(LOOK)


def _analyze(new: Cluster) -> None:
    """What the new server plans by, and what is counted in advance."""
    with new.session(new.settings.database) as session:
        refresh(session)
        session.ask("ANALYZE;")


def refresh(session: Any) -> None:
    """Materialized views anew: no stream brings their rows."""
    session.ask(
        "SELECT format('REFRESH MATERIALIZED VIEW %I.%I', schemaname, matviewname) FROM pg_matviews \\gexec"
    )
