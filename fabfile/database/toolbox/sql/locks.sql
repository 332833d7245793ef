-- purpose: locks that somebody waits for, with who holds and who waits; and strong ones that nobody waits for yet
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor
WITH seen AS (
    SELECT l.*,
           -- Waiters and holders of one object are of one group.
           (l.locktype, l.database, l.relation, l.page, l.tuple, l.virtualxid, l.transactionid, l.classid, l.objid,
            l.objsubid)::text AS object
    FROM pg_locks AS l
    WHERE l.pid IS DISTINCT FROM pg_backend_pid()
)
SELECT CASE WHEN l.granted THEN 'held' ELSE 'waits' END AS lock,
       extract(epoch FROM clock_timestamp() - coalesce(l.waitstart, a.xact_start))::float8 AS seconds,
       coalesce(l.pid::text, 'prepared transaction') AS pid,
       l.mode,
       l.locktype AS on,
       CASE WHEN c.oid IS NOT NULL THEN ARRAY[n.nspname::text, c.relname::text] END AS table,
       a.usename AS role,
       a.application_name AS application,
       a.query
FROM seen AS l
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
LEFT JOIN pg_class AS c ON c.oid = l.relation AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
LEFT JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE %(all)s
   OR EXISTS (SELECT FROM seen AS w WHERE w.object = l.object AND NOT w.granted)
   OR (l.locktype = 'relation' AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))
ORDER BY (SELECT count(*) FROM seen AS w WHERE w.object = l.object AND NOT w.granted) DESC, l.object, l.granted DESC, l.waitstart
LIMIT %(limit)s
