-- purpose: tables much larger than their rows, by estimate
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor and SELECT on the table, for its statistics
SELECT s.schema, s.name, s.size, greatest(0, s.size - s.needed) AS wasted
FROM (
  SELECT n.nspname::text AS schema, c.relname::text AS name, -- Not pg_relation_size, which waits for whoever changes the table.
         c.relpages * current_setting('block_size')::float8 AS size,
         (ceil(c.reltuples * (28 + coalesce(w.width, 0)) / (current_setting('block_size')::float8 - 24))
           * current_setting('block_size')::float8 * 1.1)::float8 AS needed
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  JOIN LATERAL (SELECT sum((1 - p.null_frac) * p.avg_width) AS width FROM pg_stats AS p
                WHERE p.schemaname = n.nspname AND p.tablename = c.relname) AS w ON w.width IS NOT NULL
  WHERE c.relkind IN ('r', 'm') AND c.reltuples > 0 AND n.nspname NOT IN ('pg_catalog', 'information_schema')
) AS s
ORDER BY 4 DESC, 1, 2
LIMIT 20
