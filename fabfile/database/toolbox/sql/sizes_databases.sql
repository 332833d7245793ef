-- purpose: the size of each database that this role may connect to
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor
SELECT d.datname AS database, pg_database_size(d.oid) AS bytes, pg_get_userbyid(d.datdba) AS owner
FROM pg_database AS d
WHERE d.datallowconn
ORDER BY bytes DESC
