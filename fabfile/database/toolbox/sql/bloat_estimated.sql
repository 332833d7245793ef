-- purpose: room in tables that holds no row, estimated from the planner's statistics; none where this role may not read
-- floor: 14
-- ceiling: none
-- privilege: SELECT on the tables, else their statistics are hidden and the estimate is missing
SELECT ARRAY[n.nspname::text, c.relname::text] AS table,
       pg_relation_size(c.oid) AS bytes,
       CASE WHEN w.row_bytes IS NOT NULL AND c.reltuples >= 0
            THEN greatest(0, pg_relation_size(c.oid) - p.needed)::bigint END AS "bloat bytes",
       CASE WHEN w.row_bytes IS NOT NULL AND c.reltuples >= 0
            THEN (100 * greatest(0, 1 - p.needed / pg_relation_size(c.oid)))::float8 END AS "bloat %%",
       s.n_dead_tup AS "dead rows",
       greatest(s.last_vacuum, s.last_autovacuum) AS "last vacuum"
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_stat_user_tables AS s ON s.relid = c.oid
LEFT JOIN LATERAL (
    -- A row: its header, then its columns, each rounded up to the eight bytes a row is aligned to.
    SELECT 24 + ceil(sum(v.avg_width * (1 - v.null_frac)) / 8) * 8 AS row_bytes
    FROM pg_stats AS v
    WHERE v.schemaname = n.nspname AND v.tablename = c.relname
    HAVING count(*) > 0
) AS w ON true
CROSS JOIN LATERAL (
    SELECT ceil(greatest(c.reltuples, 0) * (w.row_bytes + 4) / (current_setting('block_size')::int - 24)
                * 100 / coalesce(
                    (SELECT substring(o FROM '^fillfactor=(\d+)$')::numeric FROM unnest(c.reloptions) AS o WHERE o ~ '^fillfactor='),
                    100))
           * current_setting('block_size')::int AS needed
) AS p
WHERE c.relkind IN ('r', 'm') AND pg_relation_size(c.oid) > 0
ORDER BY "bloat bytes" DESC NULLS LAST, bytes DESC
LIMIT %(limit)s
