-- purpose: replication slots, the WAL that each keeps, and since when nobody has read it
-- floor: 17
-- ceiling: none
-- privilege: any
SELECT slot_name::text AS name, slot_type AS kind, active, coalesce(wal_status, '') AS status,
       coalesce(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                                restart_lsn), 0)::float8 AS retained,
       safe_wal_size::float8 AS room,
       coalesce(greatest(age(xmin), age(catalog_xmin)), 0) AS held,
       coalesce(extract(epoch FROM clock_timestamp() - inactive_since), 0)::float8 AS away,
       inactive_since IS NOT NULL AS exact
FROM pg_replication_slots
ORDER BY 5 DESC, 1
