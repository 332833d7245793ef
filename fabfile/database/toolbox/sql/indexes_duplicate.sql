-- purpose: indexes that another one of the same table makes needless: equal, or a beginning of it
-- floor: 14
-- ceiling: none
-- privilege: any
WITH each AS (
    SELECT i.*, c.relname, n.nspname, c.relam, t.relname AS table_name,
           i.indkey::text || ' ' AS columns, i.indclass::text || ' ' AS classes, i.indcollation::text || ' ' AS collations,
           i.indoption::text || ' ' AS options,
           coalesce(pg_get_expr(i.indexprs, i.indrelid), '') AS expressions,
           coalesce(pg_get_expr(i.indpred, i.indrelid), '') AS predicate
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_class AS t ON t.oid = i.indrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE i.indisvalid AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND c.relkind = 'i'
)
SELECT ARRAY[a.nspname::text, a.relname::text] AS index,
       ARRAY[b.nspname::text, b.relname::text] AS "same as",
       ARRAY[a.nspname::text, a.table_name::text] AS table,
       pg_relation_size(a.indexrelid) AS bytes,
       CASE WHEN a.columns = b.columns THEN 'equal' ELSE 'its beginning' END AS how
FROM each AS a
JOIN each AS b ON b.indrelid = a.indrelid AND b.indexrelid <> a.indexrelid AND b.relam = a.relam
WHERE NOT a.indisprimary AND NOT a.indisreplident AND NOT a.indisexclusion
  AND (NOT a.indisunique OR (b.indisunique AND a.columns = b.columns AND a.indnkeyatts = b.indnkeyatts))
  AND a.expressions = b.expressions AND a.predicate = b.predicate
  AND starts_with(b.columns, a.columns) AND starts_with(b.classes, a.classes)
  AND starts_with(b.collations, a.collations) AND starts_with(b.options, a.options)
  -- Included columns are not sorted by: a beginning must be all keys.
  AND a.indnatts = a.indnkeyatts AND (a.columns = b.columns OR a.indnatts <= b.indnkeyatts)
  -- Of two equal ones, name the one that enforces less, else the younger.
  AND (a.columns <> b.columns OR (b.indisprimary, b.indisunique, a.indexrelid) > (a.indisprimary, a.indisunique, b.indexrelid))
ORDER BY bytes DESC
LIMIT %(limit)s
