# ruff: noqa: S608 -- made of constants alone
"""What the plan asks the live server: each question is one JSON array."""

from __future__ import annotations

USER_TABLES = """
SELECT c.oid, n.nspname, c.relname, c.relpersistence, c.relreplident,
  EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indisvalid) AS has_key
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
"""
# name: the rows that speak against replication, each as one names it.
IN_DATABASE = {
    "no_identity": f"""
SELECT format('%I.%I', nspname, relname) FROM ({USER_TABLES}) t
WHERE relpersistence = 'p' AND (relreplident = 'n' OR (relreplident = 'd' AND NOT has_key))""",
    "not_comparable": f"""
SELECT DISTINCT format('%I.%I (%s)', t.nspname, t.relname, format_type(a.atttypid, NULL))
FROM ({USER_TABLES}) t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type y ON y.oid = a.atttypid
WHERE relpersistence = 'p' AND relreplident = 'f' AND NOT has_key AND y.typtype = 'b' AND y.typelem = 0 AND NOT EXISTS (
  SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod
  WHERE o.opcdefault AND m.amname IN ('btree', 'hash') AND (o.opcintype = y.oid OR EXISTS (
    SELECT FROM pg_cast k WHERE k.castsource = y.oid AND k.casttarget = o.opcintype AND k.castmethod = 'b')))""",
    "unlogged": f"SELECT format('%I.%I', nspname, relname) FROM ({USER_TABLES}) t WHERE relpersistence = 'u'",
    "large_objects": "SELECT count(*)::text FROM pg_largeobject_metadata HAVING count(*) > 0",
    "triggers": """
SELECT format('%s on %s', tgname, tgrelid::regclass) FROM pg_trigger
WHERE NOT tgisinternal AND tgenabled IN ('A', 'R')""",
    "event_triggers": """
SELECT evtname FROM pg_event_trigger WHERE evtname NOT LIKE 'slipway_upgrade%' AND evtenabled <> 'D'""",
    "subscriptions": """
SELECT subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE subname <> 'slipway_upgrade'""",
    "extension_tables": "SELECT extname FROM pg_extension WHERE extconfig IS NOT NULL",
    "extensions": "SELECT extname FROM pg_extension",
    "views": "SELECT format('%I.%I', schemaname, matviewname) FROM pg_matviews WHERE ispopulated",
    "collations": """
SELECT format('%I.%I', n.nspname, c.collname) FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
WHERE c.collversion <> pg_collation_actual_version(c.oid)""",
}
OF_CLUSTER = {
    "databases": """
SELECT datname FROM pg_database WHERE NOT datistemplate AND datname NOT IN ('postgres', :'database')""",
    "slots": """
SELECT slot_name FROM pg_replication_slots
WHERE NOT temporary AND slot_name <> 'slipway_upgrade' AND slot_name NOT LIKE 'pg\\_%\\_sync\\_%'""",
    "standbys": """
SELECT coalesce(nullif(application_name, ''), client_addr::text, 'pid ' || pid) FROM pg_stat_replication
WHERE application_name <> 'slipway_upgrade' AND application_name NOT LIKE 'pg\\_%\\_sync\\_%'""",
    "prepared": "SELECT gid FROM pg_prepared_xacts",
    "tablespaces": "SELECT spcname FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')",
    "old_transactions": """
SELECT format('pid %s (%s, %s) for %s s', pid, coalesce(usename, backend_type),
              coalesce(nullif(application_name, ''), '-'), extract(epoch FROM now() - xact_start)::int)
FROM pg_stat_activity
WHERE backend_xmin IS NOT NULL AND now() - xact_start > interval '60 s' AND pid <> pg_backend_pid()""",
    # What a cluster's own postgresql.conf has is made anew with the cluster; the folder beside it comes along.
    "settings": """
SELECT name FROM pg_file_settings WHERE sourcefile LIKE '%/conf.d/%'
UNION SELECT split_part(said, '=', 1) FROM pg_db_role_setting, unnest(setconfig) AS said""",
    "stays_behind": """
SELECT name FROM pg_file_settings
WHERE sourcefile = current_setting('config_file') AND applied AND lower(name) NOT IN (
  'data_directory', 'hba_file', 'ident_file', 'external_pid_file', 'port', 'max_connections', 'ssl', 'ssl_cert_file',
  'unix_socket_directories', 'ssl_key_file', 'shared_buffers', 'dynamic_shared_memory_type', 'max_wal_size',
  'datestyle', 'min_wal_size', 'log_line_prefix', 'log_timezone', 'cluster_name', 'stats_temp_directory', 'timezone',
  'include_dir', 'default_text_search_config') AND name NOT LIKE 'lc\\_%'""",
    "altered": """
SELECT name FROM pg_file_settings WHERE sourcefile LIKE '%postgresql.auto.conf' AND applied""",
    "libraries": """
SELECT DISTINCT trim(both ' "' from each) FROM unnest(string_to_array(concat_ws(',',
  current_setting('shared_preload_libraries'), current_setting('session_preload_libraries')), ',')) each
WHERE trim(each) <> ''""",
}
FACTS = """
SELECT json_build_object(
  'version', split_part(current_setting('server_version'), ' ', 1), 'wal_level', current_setting('wal_level'),
  'slots_free', current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots),
  'senders_free', current_setting('max_wal_senders')::int - (SELECT count(*) FROM pg_stat_replication),
  'workers', current_setting('max_logical_replication_workers')::int,
  'processes', current_setting('max_worker_processes')::int,
  'kept', (SELECT setting::bigint * 1048576 FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
  'bytes', pg_database_size(:'database'),
  'tables', 0, 'buffers', (SELECT setting::bigint * 8192 FROM pg_settings WHERE name = 'shared_buffers'),
  'encoding', (SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'template1'),
  'locale', (SELECT datcollate FROM pg_database WHERE datname = 'template1'),
  'limit', (SELECT datconnlimit FROM pg_database WHERE datname = :'database'));
"""


def question(queries: dict[str, str]) -> str:
    """One row, {name: [texts]}, of queries with one column each."""
    parts = ", ".join(
        f"'{name}', (SELECT coalesce(json_agg(x ORDER BY x), '[]') FROM ({query.strip()}) AS found(x))"
        for name, query in queries.items()
    )
    return f"SELECT json_build_object({parts});"
