-- purpose: the statements of this database that cost most, by a measure
-- floor: 17
-- ceiling: none
-- privilege: pg_monitor, for the texts of other roles
SELECT s.queryid::text AS "query id",
       (100 * s.total_exec_time / nullif(sum(s.total_exec_time) OVER (), 0))::float8 AS "time %%",
       s.total_exec_time AS "total ms",
       s.calls,
       s.mean_exec_time AS "mean ms",
       s.max_exec_time AS "max ms",
       (s.shared_blks_read + s.temp_blks_read + s.temp_blks_written)::float8 * current_setting('block_size')::int AS "read bytes",
       s.shared_blk_read_time + s.shared_blk_write_time + s.local_blk_read_time + s.local_blk_write_time AS "io ms",
       r.rolname AS role,
       s.query
FROM {statements} AS s
LEFT JOIN pg_roles AS r ON r.oid = s.userid
WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY {measure} DESC NULLS LAST, s.queryid
LIMIT %(limit)s
