-- purpose: whether the server's own processes are younger than the server, as after a crash of a session
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor
SELECT greatest(0, extract(epoch FROM min(backend_start) - pg_postmaster_start_time()))::float8 AS after,
       extract(epoch FROM clock_timestamp() - min(backend_start))::float8 AS seconds
FROM pg_stat_activity
WHERE backend_type = 'checkpointer'
