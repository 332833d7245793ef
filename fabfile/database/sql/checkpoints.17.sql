-- purpose: checkpoints by the clock and those that a full WAL asked for
-- floor: 17
-- ceiling: none
-- privilege: any
SELECT num_timed::float8 AS timed, num_requested::float8 AS requested
FROM pg_stat_checkpointer
