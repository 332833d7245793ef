-- purpose: foreign keys whose columns no index begins with: a deletion in the referenced table reads the whole other one
-- floor: 14
-- ceiling: none
-- privilege: any
SELECT ARRAY[n.nspname::text, t.relname::text] AS table,
       (SELECT array_agg(a.attname::text ORDER BY k.place)
        FROM unnest(f.conkey) WITH ORDINALITY AS k (number, place)
        JOIN pg_attribute AS a ON a.attrelid = f.conrelid AND a.attnum = k.number) AS columns,
       ARRAY[rn.nspname::text, r.relname::text] AS references,
       nullif(t.reltuples, -1)::bigint AS "rows"
FROM pg_constraint AS f
JOIN pg_class AS t ON t.oid = f.conrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
JOIN pg_class AS r ON r.oid = f.confrelid
JOIN pg_namespace AS rn ON rn.oid = r.relnamespace
WHERE f.contype = 'f' AND f.conparentid = 0
  AND NOT EXISTS (
      SELECT FROM pg_index AS i
      WHERE i.indrelid = f.conrelid AND i.indisvalid AND i.indpred IS NULL
        AND (i.indkey::int2[])[0:cardinality(f.conkey) - 1] @> f.conkey
  )
ORDER BY t.reltuples DESC
LIMIT %(limit)s
