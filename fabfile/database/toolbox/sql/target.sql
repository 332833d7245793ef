-- purpose: one session, before it is ended
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor
SELECT a.pid,
       a.backend_start,
       coalesce(a.usename, '') AS role,
       coalesce(r.rolsuper, false) AS superuser,
       coalesce(a.datname, '') AS database,
       coalesce(a.application_name, '') AS application,
       coalesce(host(a.client_addr), 'socket') AS client,
       coalesce(a.state, '') AS state,
       a.backend_type,
       a.leader_pid,
       a.query_start,
       extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_seconds,
       extract(epoch FROM clock_timestamp() - a.query_start)::float8 AS query_seconds,
       (SELECT count(*)::int FROM pg_stat_activity AS w
        WHERE w.wait_event_type = 'Lock' AND a.pid = ANY (pg_blocking_pids(w.pid))) AS blocks,
       coalesce(a.query, '') AS query
FROM pg_stat_activity AS a
LEFT JOIN pg_roles AS r ON r.oid = a.usesysid
WHERE a.pid = %(pid)s
