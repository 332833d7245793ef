-- purpose: collations whose library has another version than their indexes were built with
-- floor: 15
-- ceiling: none
-- privilege: any
SELECT c.collname::text AS name
FROM pg_collation AS c
WHERE c.collversion IS NOT NULL AND c.collversion <> pg_collation_actual_version(c.oid)
UNION ALL
SELECT 'database ' || datname
FROM pg_database
WHERE datcollversion IS NOT NULL AND datcollversion <> pg_database_collation_actual_version(oid) AND datname = current_database()
ORDER BY 1
LIMIT 20
