-- purpose: collations that something is sorted by and whose library has another version than that was built with
-- floor: 14
-- ceiling: 14
-- privilege: any
SELECT 'collation' AS kind, n.nspname::text AS schema, c.collname::text AS name
FROM pg_collation AS c
JOIN pg_namespace AS n ON n.oid = c.collnamespace
WHERE c.collversion IS NOT NULL AND c.collversion <> pg_collation_actual_version(c.oid)
  -- One that nobody uses sorts nothing. The database's own order has no version here; its namesake has.
  AND (
    EXISTS (SELECT FROM pg_depend AS d WHERE d.refclassid = 'pg_collation'::regclass AND d.refobjid = c.oid)
    OR lower(replace(c.collname::text, '-', '')) = (
      SELECT lower(replace(datcollate::text, '-', '')) FROM pg_database WHERE datname = current_database()
    )
  )
ORDER BY 2, 3
