-- purpose: every session but this one: how long it has been at it, what it waits for, what it keeps from being cleaned
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor
SELECT a.pid,
       coalesce(a.usename, '') AS role,
       coalesce(a.application_name, '') AS application,
       coalesce(a.state, '') AS state,
       a.backend_type,
       coalesce(extract(epoch FROM clock_timestamp() - a.xact_start), 0)::float8 AS transaction_seconds,
       coalesce(extract(epoch FROM clock_timestamp() - a.query_start), 0)::float8 AS query_seconds,
       coalesce(extract(epoch FROM clock_timestamp() - a.state_change), 0)::float8 AS state_seconds,
       coalesce(greatest(age(a.backend_xmin), age(a.backend_xid)), 0) AS held,
       -- It takes every lock of the lock manager, so only who waits is asked about.
       CASE WHEN a.wait_event_type = 'Lock' THEN pg_blocking_pids(a.pid) ELSE ARRAY[]::int[] END AS blocked_by,
       CASE WHEN a.wait_event_type = 'Lock' THEN
         coalesce((SELECT extract(epoch FROM clock_timestamp() - min(l.waitstart))
                   FROM pg_locks AS l WHERE l.pid = a.pid AND NOT l.granted), 0)
       ELSE 0 END::float8 AS wait_seconds,
       coalesce(a.query, '') AS query
FROM pg_stat_activity AS a
WHERE a.pid <> pg_backend_pid()
  AND a.backend_type IN ('client backend', 'autovacuum worker', 'walsender', 'logical replication worker')
ORDER BY a.backend_start, a.pid
