-- purpose: who receives WAL, what each of them is, and how far each is behind
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor
SELECT coalesce(r.application_name, '') AS application, coalesce(host(r.client_addr), 'socket') AS address,
       coalesce(r.state, '') AS state, coalesce(r.sync_state, '') AS sync,
       -- Who streams and never replays stores WAL, as pg_receivewal does.
       CASE WHEN s.slot_type = 'logical' THEN 'logical'
         WHEN r.replay_lsn IS NULL AND r.state IN ('streaming', 'catchup') THEN 'receiver'
         ELSE 'standby' END AS kind,
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                       r.replay_lsn)::float8 AS lag,
       coalesce(extract(epoch FROM r.replay_lag), 0)::float8 AS lag_seconds
FROM pg_stat_replication AS r
LEFT JOIN pg_replication_slots AS s ON s.active_pid = r.pid
WHERE r.state <> 'backup'
ORDER BY 6 DESC NULLS LAST, 1
