-- purpose: checkpoints by the clock and those that a full WAL asked for
-- floor: 14
-- ceiling: 16
-- privilege: any
SELECT checkpoints_timed::float8 AS timed, checkpoints_req::float8 AS requested,
       extract(epoch FROM stats_reset)::float8 AS began, extract(epoch FROM clock_timestamp())::float8 AS at
FROM pg_stat_bgwriter
