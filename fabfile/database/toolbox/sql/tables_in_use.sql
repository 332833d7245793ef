-- purpose: the size of the tables that a migration would lock, and the oldest transaction that has touched each
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor
SELECT c.relname::text AS name,
       pg_total_relation_size(c.oid) AS bytes,
       greatest(c.reltuples, 0)::bigint AS rows,
       held.pid,
       coalesce(held.usename, '') AS role,
       coalesce(held.application_name, '') AS application,
       coalesce(extract(epoch FROM clock_timestamp() - held.xact_start), 0)::float8 AS seconds
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
  SELECT a.pid, a.usename, a.application_name, a.xact_start
  FROM pg_locks AS l
  JOIN pg_stat_activity AS a ON a.pid = l.pid
  WHERE l.relation = c.oid AND l.granted AND a.pid <> pg_backend_pid()
  ORDER BY a.xact_start
  LIMIT 1
) AS held ON true
WHERE n.nspname = %(schema)s AND c.relkind IN ('r', 'p', 'm') AND c.relname = ANY(%(names)s)
ORDER BY c.relname
