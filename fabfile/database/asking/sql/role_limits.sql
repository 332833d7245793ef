-- purpose: roles and databases that may have only so many sessions, and how many they have
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor
SELECT 'role' AS kind, r.rolname::text AS name, r.rolconnlimit AS maximum,
       (SELECT count(*) FROM pg_stat_activity AS a WHERE a.usesysid = r.oid AND a.backend_type = 'client backend')::int AS used
FROM pg_roles AS r
-- A limit of a superuser's is none.
WHERE r.rolconnlimit > 0 AND r.rolcanlogin AND NOT r.rolsuper
UNION ALL
SELECT 'database', d.datname::text, d.datconnlimit,
       (SELECT count(*) FROM pg_stat_activity AS a WHERE a.datid = d.oid AND a.backend_type = 'client backend')::int
FROM pg_database AS d
WHERE d.datconnlimit > 0
ORDER BY 1, 2
