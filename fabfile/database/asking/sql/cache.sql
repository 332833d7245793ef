-- purpose: how much of what this database asked for was in memory, and what went wrong in it
-- floor: 14
-- ceiling: none
-- privilege: any
SELECT blks_hit::float8 AS hit, blks_read::float8 AS read, xact_commit::float8 AS commits, xact_rollback::float8 AS rollbacks,
       deadlocks::float8 AS deadlocks, temp_files::float8 AS temporary_files, temp_bytes::float8 AS temporary_bytes,
       -- What was counted before the last start did not ask this memory; without a reset nobody knows since when it counts.
       extract(epoch FROM greatest(stats_reset, pg_postmaster_start_time()))::float8 AS began,
       extract(epoch FROM clock_timestamp())::float8 AS at
FROM pg_stat_database
WHERE datname = current_database()
