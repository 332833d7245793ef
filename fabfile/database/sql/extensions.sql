-- purpose: extensions older than what is installed on the host
-- floor: 14
-- ceiling: none
-- privilege: any
SELECT e.extname::text AS name, e.extversion AS version, a.default_version AS available
FROM pg_extension AS e
JOIN pg_available_extensions AS a ON a.name = e.extname
WHERE e.extversion <> a.default_version
ORDER BY 1
