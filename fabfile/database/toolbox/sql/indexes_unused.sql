-- purpose: indexes that no query has used since statistics were reset, and that enforce nothing
-- floor: 14
-- ceiling: none
-- privilege: any
SELECT ARRAY[s.schemaname::text, s.indexrelname::text] AS index,
       ARRAY[s.schemaname::text, s.relname::text] AS table,
       pg_relation_size(s.indexrelid) AS bytes,
       t.n_tup_ins + t.n_tup_upd + t.n_tup_del AS "writes to the table"
FROM pg_stat_user_indexes AS s
JOIN pg_index AS i ON i.indexrelid = s.indexrelid
JOIN pg_stat_user_tables AS t ON t.relid = s.relid
WHERE s.idx_scan = 0
  AND i.indisvalid AND NOT i.indisunique AND NOT i.indisexclusion AND NOT i.indisreplident AND NOT i.indisclustered
  -- An index that a deletion in the referenced table needs is not unused, only waiting.
  AND NOT EXISTS (
      SELECT FROM pg_constraint AS f
      WHERE f.contype = 'f' AND f.conrelid = i.indrelid
        AND (i.indkey::int2[])[0:cardinality(f.conkey) - 1] @> f.conkey
  )
ORDER BY bytes DESC
LIMIT %(limit)s
