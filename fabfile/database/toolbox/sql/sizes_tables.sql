-- purpose: the largest tables, with what their indexes and out-of-line values take
-- floor: 14
-- ceiling: none
-- privilege: any
SELECT ARRAY[n.nspname::text, c.relname::text] AS table,
       pg_total_relation_size(c.oid) AS "total bytes",
       pg_relation_size(c.oid) AS "heap bytes",
       pg_indexes_size(c.oid) AS "index bytes",
       coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) AS "toast bytes",
       nullif(c.reltuples, -1)::bigint AS "rows"
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
ORDER BY pg_total_relation_size(c.oid) DESC
LIMIT %(limit)s
