-- purpose: constraints that older rows were never checked against
-- floor: 14
-- ceiling: none
-- privilege: any
SELECT n.nspname::text AS schema, t.relname::text AS "table", k.conname::text AS name
FROM pg_constraint AS k
JOIN pg_class AS t ON t.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
WHERE NOT k.convalidated
ORDER BY 1, 2, 3
