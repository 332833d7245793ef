-- purpose: every session but this one: how long it has been at it, what it waits for, what it keeps from being cleaned
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor
WITH waiting AS MATERIALIZED (
  -- Once for all who wait: each look at pg_locks takes every lock of the lock manager.
  SELECT l.pid, min(l.waitstart) AS since
  FROM pg_locks AS l
  WHERE NOT l.granted AND EXISTS (SELECT FROM pg_stat_activity AS w WHERE w.wait_event_type = 'Lock')
  GROUP BY l.pid
), progress AS (
  -- How far a build of an index, a vacuum, a copy and the like are, where the server counts it.
  SELECT pid, datid, relid, lower(command) AS does, phase, 100.0 * blocks_done / nullif(blocks_total, 0) AS percent
  FROM pg_stat_progress_create_index
  UNION ALL
  SELECT pid, datid, relid, 'vacuum', phase, 100.0 * heap_blks_scanned / nullif(heap_blks_total, 0) FROM pg_stat_progress_vacuum
  UNION ALL
  SELECT pid, datid, relid, 'analyze', phase, 100.0 * sample_blks_scanned / nullif(sample_blks_total, 0) FROM pg_stat_progress_analyze
  UNION ALL
  SELECT pid, datid, relid, lower(command), phase, 100.0 * heap_blks_scanned / nullif(heap_blks_total, 0) FROM pg_stat_progress_cluster
  UNION ALL
  SELECT pid, datid, relid, lower(command), tuples_processed || ' rows', 100.0 * bytes_processed / nullif(bytes_total, 0)
  FROM pg_stat_progress_copy
  UNION ALL
  SELECT pid, NULL, NULL, 'base backup', phase, 100.0 * backup_streamed / nullif(backup_total, 0) FROM pg_stat_progress_basebackup
), named AS (
  -- In another database than this one a number is nobody's name.
  SELECT pid, percent, concat_ws(', ', concat_ws(' of ', does, CASE WHEN datid = d.oid AND relid > 0 THEN relid::regclass::text END),
                                 nullif(phase, '')) AS doing
  FROM progress
  CROSS JOIN (SELECT oid FROM pg_database WHERE datname = current_database()) AS d
)
SELECT a.pid,
       coalesce(a.usename, '') AS role,
       coalesce(a.datname, '') AS database,
       coalesce(a.application_name, '') AS application,
       coalesce(a.state, '') AS state,
       a.backend_type,
       coalesce(extract(epoch FROM clock_timestamp() - a.backend_start), 0)::float8 AS connected_seconds,
       coalesce(extract(epoch FROM clock_timestamp() - a.xact_start), 0)::float8 AS transaction_seconds,
       coalesce(extract(epoch FROM clock_timestamp() - a.query_start), 0)::float8 AS query_seconds,
       coalesce(extract(epoch FROM clock_timestamp() - a.state_change), 0)::float8 AS state_seconds,
       coalesce(greatest(age(a.backend_xmin), age(a.backend_xid)), 0) AS held,
       CASE WHEN a.wait_event_type = 'Lock' THEN pg_blocking_pids(a.pid) ELSE ARRAY[]::int[] END AS blocked_by,
       CASE WHEN a.wait_event_type = 'Lock' THEN coalesce(extract(epoch FROM clock_timestamp() - w.since), 0) ELSE 0 END::float8
         AS wait_seconds,
       coalesce(p.doing, '') AS doing,
       p.percent::float8 AS percent,
       coalesce(a.query, '') AS query
FROM pg_stat_activity AS a
LEFT JOIN waiting AS w ON w.pid = a.pid
LEFT JOIN named AS p ON p.pid = a.pid
WHERE a.pid <> pg_backend_pid()
  AND a.backend_type IN ('client backend', 'autovacuum worker', 'walsender', 'logical replication worker')
ORDER BY a.backend_start, a.pid
