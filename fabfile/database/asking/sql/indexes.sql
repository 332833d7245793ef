-- purpose: indexes to look at, of all there are: invalid ones, large ones that nobody used, those that another one equals
-- floor: 14
-- ceiling: none
-- privilege: any
WITH every AS MATERIALIZED (
  SELECT i.indexrelid, i.indrelid, c.relname, c.relnamespace, c.relpages * current_setting('block_size')::float8 AS size,
         i.indisvalid AND i.indisready AS valid,
         coalesce(pg_stat_get_numscans(i.indexrelid), 0)::float8 AS scans,
         NOT i.indisunique AND i.indexrelid NOT IN (SELECT conindid FROM pg_constraint) AS removable,
         -- Equal ones stand together, the oldest first; an invalid one equals none.
         CASE WHEN i.indisvalid THEN first_value(c.relname) OVER (
           PARTITION BY i.indrelid, i.indisvalid, c.relam, i.indisunique, i.indkey::text, i.indclass::text, i.indcollation::text,
             i.indoption::text, pg_get_expr(i.indexprs, i.indrelid), pg_get_expr(i.indpred, i.indrelid)
           ORDER BY i.indexrelid) END AS first
  FROM pg_index AS i
  JOIN pg_class AS c ON c.oid = i.indexrelid
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
)
SELECT n.nspname::text AS schema, t.relname::text AS "table", e.relname::text AS name, e.valid, e.size, e.scans, e.removable,
       -- Being built right now is no fault.
       e.indexrelid IN (SELECT index_relid FROM pg_stat_progress_create_index) AS building,
       CASE WHEN e.first <> e.relname THEN e.first::text ELSE '' END AS same_as
FROM every AS e
JOIN pg_class AS t ON t.oid = e.indrelid
JOIN pg_namespace AS n ON n.oid = e.relnamespace
WHERE NOT e.valid OR e.first <> e.relname OR (e.scans = 0 AND e.removable AND e.size >= {least_unused})
ORDER BY e.valid, e.size DESC, 1, 3
