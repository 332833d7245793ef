-- purpose: checkpoints by the clock and those that a full WAL asked for
-- floor: 17
-- ceiling: none
-- privilege: any
SELECT num_timed::float8 AS timed, num_requested::float8 AS requested,
       extract(epoch FROM stats_reset)::float8 AS began, extract(epoch FROM clock_timestamp())::float8 AS at
FROM pg_stat_checkpointer
