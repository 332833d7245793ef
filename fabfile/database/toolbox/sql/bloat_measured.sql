-- purpose: room in tables that holds no row, measured by pgstattuple; none for those that would take too long
-- floor: 14
-- ceiling: none
-- privilege: pg_stat_scan_tables
WITH sized AS (
    SELECT c.oid, n.nspname, c.relname, pg_relation_size(c.oid) AS bytes, s.n_dead_tup, greatest(s.last_vacuum, s.last_autovacuum) AS vacuumed,
           -- A page that is not all visible is read whole; of any other, its free space is looked up, fifty times as fast.
           least(p.pages, greatest(p.pages - c.relallvisible, 0) + s.n_dead_tup + s.n_ins_since_vacuum) + p.pages / 50 AS cost
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_stat_user_tables AS s ON s.relid = c.oid
    CROSS JOIN LATERAL (SELECT pg_relation_size(c.oid) / current_setting('block_size')::int AS pages) AS p
    WHERE c.relkind IN ('r', 'm') AND p.pages > 0 AND c.relpersistence <> 't'
)
SELECT ARRAY[z.nspname::text, z.relname::text] AS table,
       z.bytes,
       (m.approx_free_space + m.dead_tuple_len)::bigint AS "bloat bytes",
       m.approx_free_percent + m.dead_tuple_percent AS "bloat %%",
       z.n_dead_tup AS "dead rows",
       z.vacuumed AS "last vacuum"
FROM (SELECT sized.*, sum(cost) OVER (ORDER BY cost, oid) <= %(budget)s AS within FROM sized) AS z
LEFT JOIN LATERAL {measure}(CASE WHEN z.within THEN z.oid END) AS m ON z.within
ORDER BY "bloat bytes" DESC NULLS FIRST, z.bytes DESC
LIMIT %(limit)s
