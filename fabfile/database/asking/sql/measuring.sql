-- purpose: where the extension is that measures tables
-- floor: 14
-- ceiling: none
-- privilege: any
SELECT n.nspname::text AS schema
FROM pg_extension AS e
JOIN pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = 'pgstattuple'
