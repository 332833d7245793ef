-- purpose: the statements of this database that take most time
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor
SELECT s.calls::float8 AS calls, s.total_exec_time::float8 AS milliseconds, s.mean_exec_time::float8 AS mean,
       (100 * s.total_exec_time / nullif(sum(s.total_exec_time) OVER (), 0))::float8 AS percent, s.query
FROM {statements} AS s
WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY 2 DESC
LIMIT 10
