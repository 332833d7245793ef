-- purpose: the largest indexes
-- floor: 14
-- ceiling: none
-- privilege: any
SELECT ARRAY[n.nspname::text, c.relname::text] AS index,
       pg_relation_size(c.oid) AS bytes,
       ARRAY[tn.nspname::text, t.relname::text] AS table,
       coalesce(s.idx_scan, 0) AS scans
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_index AS i ON i.indexrelid = c.oid
JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_namespace AS tn ON tn.oid = t.relnamespace
LEFT JOIN pg_stat_user_indexes AS s ON s.indexrelid = c.oid
WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND c.relkind = 'i'
ORDER BY bytes DESC
LIMIT %(limit)s
