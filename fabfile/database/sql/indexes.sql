-- purpose: indexes: invalid ones, those nobody used, those that another one equals
-- floor: 14
-- ceiling: none
-- privilege: any
SELECT n.nspname::text AS schema, t.relname::text AS "table", c.relname::text AS name,
       i.indisvalid AND i.indisready AS valid,
       -- Not pg_relation_size, which waits for whoever changes the table.
       c.relpages * current_setting('block_size')::float8 AS size,
       coalesce(s.idx_scan, 0)::float8 AS scans,
       NOT i.indisunique AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = c.oid) AS removable,
       -- Being built right now is no fault.
       EXISTS (SELECT FROM pg_stat_progress_create_index AS p WHERE p.index_relid = c.oid) AS building,
       coalesce((SELECT min(c2.relname)::text FROM pg_index AS j JOIN pg_class AS c2 ON c2.oid = j.indexrelid
                 WHERE j.indrelid = i.indrelid AND j.indexrelid < i.indexrelid AND j.indisvalid AND i.indisvalid
                   AND j.indkey = i.indkey AND j.indclass = i.indclass AND j.indcollation = i.indcollation
                   AND j.indoption = i.indoption AND j.indisunique = i.indisunique
                   AND coalesce(pg_get_expr(j.indexprs, j.indrelid), '') = coalesce(pg_get_expr(i.indexprs, i.indrelid), '')
                   AND coalesce(pg_get_expr(j.indpred, j.indrelid), '') = coalesce(pg_get_expr(i.indpred, i.indrelid), '')
                   AND c2.relam = c.relam), '') AS same_as
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_user_indexes AS s ON s.indexrelid = i.indexrelid
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
ORDER BY 5 DESC, 1, 2, 3
LIMIT 1000
