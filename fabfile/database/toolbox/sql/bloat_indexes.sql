-- purpose: room in B-trees that holds no entry, measured by pgstattuple; none for those that would take too long
-- floor: 14
-- ceiling: none
-- privilege: pg_stat_scan_tables
WITH sized AS (
    SELECT c.oid, n.nspname, c.relname, t.relname AS table_name, pg_relation_size(c.oid) AS bytes
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_index AS i ON i.indexrelid = c.oid
    JOIN pg_class AS t ON t.oid = i.indrelid
    JOIN pg_am AS a ON a.oid = c.relam
    WHERE c.relkind = 'i' AND a.amname = 'btree' AND i.indisvalid AND c.relpersistence <> 't'
      AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
)
SELECT ARRAY[z.nspname::text, z.relname::text] AS index,
       ARRAY[z.nspname::text, z.table_name::text] AS table,
       z.bytes,
       w.wasted::bigint AS "bloat bytes",
       100 * w.wasted / nullif(z.bytes, 0) AS "bloat %%"
FROM (SELECT sized.*, sum(bytes / current_setting('block_size')::int) OVER (ORDER BY bytes, oid) <= %(budget)s AS within FROM sized) AS z
LEFT JOIN LATERAL {measure}(CASE WHEN z.within THEN z.oid::regclass END) AS m ON z.within
-- An index is built with nine tenths of each leaf in use.
CROSS JOIN LATERAL (
    SELECT current_setting('block_size')::float8
             * (m.empty_pages + m.deleted_pages + m.leaf_pages * greatest(0, 1 - coalesce(nullif(m.avg_leaf_density, 'NaN'), 90) / 90)) AS wasted
) AS w
ORDER BY "bloat bytes" DESC NULLS FIRST, z.bytes DESC
LIMIT %(limit)s
