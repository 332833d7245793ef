-- purpose: collations whose library has another version than their indexes were built with
-- floor: 14
-- ceiling: 14
-- privilege: any
SELECT c.collname::text AS name
FROM pg_collation AS c
WHERE c.collversion IS NOT NULL AND c.collversion <> pg_collation_actual_version(c.oid)
ORDER BY 1
LIMIT 20
