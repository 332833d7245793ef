-- purpose: how many tables, indexes and sequences there are, so that what was judged has its number
-- floor: 14
-- ceiling: none
-- privilege: any
SELECT count(*) FILTER (WHERE c.relkind IN ('r', 'm'))::int AS tables, count(*) FILTER (WHERE c.relkind IN ('i', 'I'))::int AS indexes,
       count(*) FILTER (WHERE c.relkind = 'S')::int AS sequences
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
