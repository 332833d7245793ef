-- purpose: collations that something is sorted by and whose library has another version than that was built with
-- floor: 15
-- ceiling: none
-- privilege: any
SELECT 'collation' AS kind, n.nspname::text AS schema, c.collname::text AS name
FROM pg_collation AS c
JOIN pg_namespace AS n ON n.oid = c.collnamespace
WHERE c.collversion IS NOT NULL AND c.collversion <> pg_collation_actual_version(c.oid)
  -- One that nobody uses sorts nothing.
  AND EXISTS (SELECT FROM pg_depend AS d WHERE d.refclassid = 'pg_collation'::regclass AND d.refobjid = c.oid)
UNION ALL
SELECT 'database', '', datname
FROM pg_database
WHERE datcollversion IS NOT NULL AND datcollversion <> pg_database_collation_actual_version(oid) AND datname = current_database()
ORDER BY 1 DESC, 2, 3
