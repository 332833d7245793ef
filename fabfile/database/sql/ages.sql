-- purpose: how far each database is from the end of transaction ids
-- floor: 14
-- ceiling: none
-- privilege: any
SELECT datname::text AS name, age(datfrozenxid)::float8 AS transactions, mxid_age(datminmxid)::float8 AS multixacts
FROM pg_database
ORDER BY 2 DESC, 1
