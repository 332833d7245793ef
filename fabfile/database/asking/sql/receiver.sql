-- purpose: a standby's own view: whether by an archive alone, what it has replayed, whether replay is paused
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor
SELECT pg_is_in_recovery() AS standby,
       (SELECT status FROM pg_stat_wal_receiver) AS status,
       CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END AS paused,
       coalesce(pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), 0)::float8 AS behind,
       pg_is_in_recovery() AND current_setting('primary_conninfo') = ''
         AND current_setting('restore_command') <> '' AS archive_only,
       pg_last_xact_replay_timestamp() IS NOT NULL AS replayed,
       coalesce(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 0)::float8 AS seconds
