-- purpose: replication slots, the WAL that each keeps, and since when nobody has read it
-- floor: 14
-- ceiling: 16
-- privilege: pg_monitor
SELECT s.slot_name::text AS name, s.slot_type AS kind, s.active, coalesce(s.wal_status, '') AS status,
       coalesce(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                                s.restart_lsn), 0)::float8 AS retained,
       s.safe_wal_size::float8 AS room,
       coalesce(greatest(age(s.xmin), age(s.catalog_xmin)), 0) AS held,
       -- What it would read next was last written then, so it has been away at least that long.
       CASE WHEN NOT s.active THEN coalesce((
         SELECT extract(epoch FROM clock_timestamp() - max(w.modification))
         FROM pg_ls_waldir() AS w
         WHERE right(w.name, 16) = upper(lpad(to_hex(p.segment / p.a_file), 8, '0') || lpad(to_hex(p.segment %% p.a_file), 8, '0'))
       ), 0) ELSE 0 END::float8 AS away,
       false AS exact
FROM pg_replication_slots AS s
CROSS JOIN LATERAL (
  SELECT div(s.restart_lsn - '0/0'::pg_lsn, z.size)::int8 AS segment, 4294967296 / z.size AS a_file
  FROM (SELECT pg_size_bytes(current_setting('wal_segment_size')) AS size) AS z
) AS p
ORDER BY 5 DESC, 1
