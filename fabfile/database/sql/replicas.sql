-- purpose: the standbys that are connected, and how far each is behind
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor
SELECT coalesce(application_name, '') AS application, coalesce(host(client_addr), 'socket') AS address,
       coalesce(state, '') AS state, coalesce(sync_state, '') AS sync,
       coalesce(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                                replay_lsn), 0)::float8 AS lag,
       coalesce(extract(epoch FROM replay_lag), 0)::float8 AS lag_seconds
FROM pg_stat_replication
WHERE state <> 'backup'
ORDER BY 5 DESC, 1
