-- purpose: room in tables that holds no row, measured by pgstattuple
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor
SELECT ARRAY[n.nspname::text, c.relname::text] AS table,
       pg_relation_size(c.oid) AS bytes,
       (m.approx_free_space + m.dead_tuple_len)::bigint AS "bloat bytes",
       m.approx_free_percent + m.dead_tuple_percent AS "bloat %%",
       s.n_dead_tup AS "dead rows",
       greatest(s.last_vacuum, s.last_autovacuum) AS "last vacuum"
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_stat_user_tables AS s ON s.relid = c.oid
CROSS JOIN LATERAL {measure}(c.oid) AS m
WHERE c.relkind IN ('r', 'm') AND c.relpages > 0
ORDER BY "bloat bytes" DESC
LIMIT %(limit)s
