-- purpose: room in tables that holds no row, measured; tables that would take long are counted, not read
-- floor: 14
-- ceiling: none
-- privilege: pg_stat_scan_tables
WITH changing AS MATERIALIZED (
  -- Whoever changes the table would be waited for.
  SELECT DISTINCT relation FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation IS NOT NULL
), sized AS (
  -- A page that is not all visible is read whole; of any other, its free space is looked up, fifty times as fast.
  SELECT c.oid, n.nspname, c.relname, c.relpages,
         least(c.relpages, c.relpages - c.relallvisible + pg_stat_get_dead_tuples(c.oid) + pg_stat_get_ins_since_vacuum(c.oid))
           + c.relpages / 50 AS cost,
         c.oid IN (SELECT relation FROM changing) AS changing
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  -- What another access method keeps, only that knows.
  WHERE c.relkind IN ('r', 'm') AND c.relpages >= 128 AND c.relpersistence <> 't'
    AND c.relam = (SELECT oid FROM pg_am WHERE amname = 'heap') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
)
SELECT z.nspname::text AS schema, z.relname::text AS name, z.within AS measured,
       z.relpages * current_setting('block_size')::float8 AS size,
       coalesce(m.approx_free_space + m.dead_tuple_len, 0)::float8 AS wasted
FROM (SELECT sized.*, sum(CASE WHEN changing THEN 0 ELSE cost END) OVER (ORDER BY cost, oid) <= {budget} AND NOT changing AS within
      FROM sized) AS z
LEFT JOIN LATERAL {measure}(CASE WHEN z.within THEN z.oid END) AS m ON z.within
ORDER BY 5 DESC, 1, 2
