-- purpose: tables to look at, of all there are: many dead rows, autovacuum switched off, read whole again and again
-- floor: 14
-- ceiling: none
-- privilege: any
WITH every AS MATERIALIZED (
  SELECT n.nspname, c.relname, c.oid,
         pg_stat_get_live_tuples(c.oid)::float8 AS live, pg_stat_get_dead_tuples(c.oid)::float8 AS dead,
         pg_stat_get_numscans(c.oid)::float8 AS scans, pg_stat_get_tuples_returned(c.oid)::float8 AS scanned,
         NOT coalesce(o.enabled, true) AS off,
         -- A table's own settings win over the server's.
         coalesce(o.threshold, current_setting('autovacuum_vacuum_threshold')::float8)
           + coalesce(o.factor, current_setting('autovacuum_vacuum_scale_factor')::float8) * greatest(c.reltuples, 0)::float8 AS due
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  LEFT JOIN LATERAL (
    SELECT bool_and(option_value::boolean) FILTER (WHERE option_name = 'autovacuum_enabled') AS enabled,
           max(option_value::float8) FILTER (WHERE option_name = 'autovacuum_vacuum_threshold') AS threshold,
           max(option_value::float8) FILTER (WHERE option_name = 'autovacuum_vacuum_scale_factor') AS factor
    FROM pg_options_to_table(c.reloptions)
  ) AS o ON c.reloptions IS NOT NULL
  WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND NOT pg_is_other_temp_schema(n.oid)
)
SELECT z.nspname::text AS schema, z.relname::text AS name, z.live, z.dead, z.scans, z.scanned,
       coalesce((SELECT sum(pg_stat_get_numscans(i.indexrelid)) FROM pg_index AS i WHERE i.indrelid = z.oid), 0)::float8 AS index_scans,
       z.off, current_setting('autovacuum') = 'off' AS off_everywhere, z.due
FROM (SELECT every.*, row_number() OVER (ORDER BY dead DESC, oid) AS place FROM every) AS z
WHERE z.off OR z.dead >= {least_dead} OR z.scanned >= {least_scanned} OR z.place <= 20
ORDER BY z.dead DESC, 1, 2
