-- purpose: where pg_stat_statements lives in this database, if it does
-- floor: 14
-- ceiling: none
-- privilege: any
SELECT n.nspname AS schema
FROM pg_extension AS e
JOIN pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = %(extension)s
