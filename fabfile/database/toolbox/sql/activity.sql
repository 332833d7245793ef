-- purpose: every session but this one, with who blocks it
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor
SELECT a.pid,
       a.backend_start,
       coalesce(a.usename, '') AS role,
       coalesce(a.datname, '') AS database,
       coalesce(a.application_name, '') AS application,
       coalesce(host(a.client_addr), 'socket') AS client,
       coalesce(a.state, '') AS state,
       a.backend_type,
       coalesce(a.wait_event_type || ':' || a.wait_event, '') AS wait,
       extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_seconds,
       extract(epoch FROM clock_timestamp() - a.query_start)::float8 AS query_seconds,
       extract(epoch FROM clock_timestamp() - a.state_change)::float8 AS state_seconds,
       -- It takes every lock of the lock manager, so only who waits is asked about.
       CASE WHEN a.wait_event_type = 'Lock' THEN pg_blocking_pids(a.pid) ELSE '{{}}' END AS blocked_by,
       coalesce(a.query, '') AS query
FROM pg_stat_activity AS a
WHERE a.pid <> pg_backend_pid()
  AND a.backend_type IN ('client backend', 'autovacuum worker', 'walsender', 'parallel worker', 'logical replication worker')
ORDER BY a.backend_start, a.pid
