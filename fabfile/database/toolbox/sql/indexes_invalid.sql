-- purpose: indexes that cost writes and answer no query, mostly left by a CREATE INDEX CONCURRENTLY that failed
-- floor: 14
-- ceiling: none
-- privilege: any
SELECT ARRAY[n.nspname::text, c.relname::text] AS index,
       ARRAY[n.nspname::text, t.relname::text] AS table,
       pg_relation_size(c.oid) AS bytes,
       i.indisready AS "is written",
       EXISTS (SELECT FROM pg_stat_progress_create_index AS p WHERE p.index_relid = c.oid) AS "being built now"
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND c.relkind = 'i'
ORDER BY bytes DESC
