-- purpose: roles whose password ends
-- floor: 14
-- ceiling: none
-- privilege: any
SELECT rolname::text AS name, (extract(epoch FROM rolvaliduntil - clock_timestamp()) / 86400)::float8 AS days
FROM pg_roles
WHERE rolcanlogin AND rolvaliduntil IS NOT NULL AND isfinite(rolvaliduntil)
ORDER BY 2
