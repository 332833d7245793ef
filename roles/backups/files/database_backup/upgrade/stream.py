"""The stream of rows from the cluster that serves to the one that follows, and the schema that stays meanwhile."""

from __future__ import annotations

import time
from typing import Any

from database_backup.errors import FailedError
from database_backup.server import Session
from database_backup.upgrade.cluster import Cluster

PAUSE = 0.02
# Replication brings rows alone: what changes the schema on one side ends the stream, so nobody may.
FREEZE = """
BEGIN;
CREATE SCHEMA IF NOT EXISTS slipway_upgrade;
CREATE OR REPLACE FUNCTION slipway_upgrade.refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('application_name') LIKE 'slipway upgrade%' THEN RETURN; END IF;
  IF TG_EVENT = 'sql_drop' THEN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_event_trigger_dropped_objects() WHERE NOT is_temporary) THEN
      RETURN;
    END IF;
  ELSIF NOT EXISTS (
    SELECT FROM pg_catalog.pg_event_trigger_ddl_commands() WHERE coalesce(schema_name, '') <> 'pg_temp'
  ) THEN
    RETURN;
  END IF;
  RAISE EXCEPTION
    'an upgrade of PostgreSQL is prepared, and the schema stays as it is until it is finished or cancelled'
    USING HINT = 'fab db-upgrade --plan says how far it is', ERRCODE = 'object_not_in_prerequisite_state';
END $$;
DROP EVENT TRIGGER IF EXISTS slipway_upgrade_changes;
DROP EVENT TRIGGER IF EXISTS slipway_upgrade_drops;
CREATE EVENT TRIGGER slipway_upgrade_changes ON ddl_command_end EXECUTE FUNCTION slipway_upgrade.refuse();
CREATE EVENT TRIGGER slipway_upgrade_drops ON sql_drop EXECUTE FUNCTION slipway_upgrade.refuse();
COMMIT;
"""
THAW = """
DROP EVENT TRIGGER IF EXISTS slipway_upgrade_changes;
DROP EVENT TRIGGER IF EXISTS slipway_upgrade_drops;
DROP SCHEMA IF EXISTS slipway_upgrade CASCADE;
DROP PUBLICATION IF EXISTS slipway_upgrade;
"""
PUBLISHED = "SELECT to_json(pubname::text) FROM pg_publication WHERE pubname = 'slipway_upgrade';"
SUBSCRIBED = """
SELECT json_build_object('on', subenabled, 'slot', subslotname) FROM pg_subscription s
JOIN pg_database d ON d.oid = s.subdbid WHERE subname = 'slipway_upgrade' AND datname = current_database();
"""
COPIED = """
SELECT json_build_object('all', count(*), 'there', count(*) FILTER (WHERE srsubstate = 'r')) FROM pg_subscription_rel;
"""
# One of 14 looks once a second whether it is still wanted.
END_WORKERS = """
SELECT to_json(count(pg_terminate_backend(pid))) FROM pg_stat_subscription WHERE subname = 'slipway_upgrade';
"""
WORKERS = "SELECT to_json(count(pid)) FROM pg_stat_subscription WHERE subname = 'slipway_upgrade';"
SLOT = """
SELECT json_build_object('active', active, 'lost', coalesce(wal_status, '') = 'lost', 'behind',
  pg_wal_lsn_diff(pg_current_wal_insert_lsn(), confirmed_flush_lsn)::bigint)
FROM pg_replication_slots WHERE slot_name = 'slipway_upgrade';
"""
REACHED = """
SELECT to_json(confirmed_flush_lsn >= :'lsn'::pg_lsn) FROM pg_replication_slots WHERE slot_name = 'slipway_upgrade';
"""
# What tablesync left when its server went; plans refuse clusters that have slots of somebody else.
DROP_SLOTS = """
SELECT to_json(pg_drop_replication_slot(slot_name)::text) FROM pg_replication_slots
WHERE NOT active AND (slot_name = 'slipway_upgrade' OR slot_name LIKE 'pg\\_%\\_sync\\_%');
"""
SLOTS_LEFT = """
SELECT to_json(count(*)) FROM pg_replication_slots
WHERE slot_name = 'slipway_upgrade' OR slot_name LIKE 'pg\\_%\\_sync\\_%';
"""
MAKE_SLOT = "SELECT to_json(pg_create_logical_replication_slot('slipway_upgrade', 'pgoutput')::text);"


def publish(session: Session) -> None:
    """All tables of the database from here on, to whoever subscribes."""
    if not session.rows(PUBLISHED):
        session.ask("CREATE PUBLICATION slipway_upgrade FOR ALL TABLES;")


def subscribed(session: Session) -> dict[str, Any]:
    """{"on", "slot"} of the subscription here, {} when there is none."""
    found = session.rows(SUBSCRIBED)
    return dict(found[0]) if found else {}


def subscribe(session: Session, source: Cluster, copy: bool) -> None:
    """Begin to follow the source: with all rows that are there, or with what its slot kept."""
    if subscribed(session):
        return
    how = "copy_data = true, create_slot = true" if copy else "copy_data = false, create_slot = false"
    # Rows that only their owner sees are ours, too, from 16 on said so.
    (version,) = session.rows("SELECT to_json(current_setting('server_version_num')::int);")
    how += ", run_as_owner = true" if version >= 160000 else ""
    where = (
        f"host={source.settings.socket} port={source.port} user=postgres dbname={source.settings.database} "
        "application_name=slipway_upgrade"
    )
    session.ask(
        "SELECT format('CREATE SUBSCRIPTION slipway_upgrade CONNECTION %L PUBLICATION slipway_upgrade "
        f"WITH (slot_name = ''slipway_upgrade'', {how})', :'where') \\gexec",
        where=where,
    )


def unsubscribe(session: Session) -> None:
    """Follow nobody any more; the other's slot stays."""
    if subscribed(session):
        session.ask("ALTER SUBSCRIPTION slipway_upgrade DISABLE;")
        session.ask("ALTER SUBSCRIPTION slipway_upgrade SET (slot_name = NONE);")
        session.ask("DROP SUBSCRIPTION slipway_upgrade;")


def pause(session: Session, on: bool) -> None:
    """The follower takes nothing more, once its worker has gone; or takes rows again."""
    session.ask(f"ALTER SUBSCRIPTION slipway_upgrade {'ENABLE' if on else 'DISABLE'};")
    if not on:
        session.ask(END_WORKERS)
    wait("the worker that follows has not ended", 20, lambda: on or not session.rows(WORKERS)[0])


def drop_slots(session: Session) -> None:
    """Nothing is kept for a follower any more. Raises FailedError when one still reads."""

    def gone() -> bool:
        session.ask(DROP_SLOTS)
        return not session.rows(SLOTS_LEFT)[0]

    wait("a slot is still read", 30, gone)


def wait(what: str, seconds: float, done: Any) -> None:
    """Raises FailedError with what is not so when it takes too long."""
    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until:
            raise FailedError(f"After {seconds:g} s {what}")
        time.sleep(PAUSE)
