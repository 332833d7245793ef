-- purpose: tables: dead rows, scans, whether autovacuum is due or switched off
-- floor: 14
-- ceiling: none
-- privilege: any
SELECT s.schemaname::text AS schema, s.relname::text AS name,
       s.n_live_tup::float8 AS live, s.n_dead_tup::float8 AS dead,
       s.seq_scan::float8 AS scans, s.seq_tup_read::float8 AS scanned, coalesce(s.idx_scan, 0)::float8 AS index_scans,
       coalesce(extract(epoch FROM clock_timestamp() - greatest(s.last_autovacuum, s.last_vacuum)), -1)::float8 AS vacuumed,
       'autovacuum_enabled=false' = ANY (coalesce(c.reloptions, ARRAY[]::text[])) OR 'autovacuum_enabled=off' = ANY (coalesce(c.reloptions, ARRAY[]::text[])) AS off,
       current_setting('autovacuum') = 'off' AS off_everywhere,
       current_setting('autovacuum_vacuum_threshold')::float8
         + current_setting('autovacuum_vacuum_scale_factor')::float8 * greatest(c.reltuples, 0)::float8 AS due
FROM pg_stat_user_tables AS s
JOIN pg_class AS c ON c.oid = s.relid
ORDER BY s.n_dead_tup DESC, 1, 2
LIMIT 200
