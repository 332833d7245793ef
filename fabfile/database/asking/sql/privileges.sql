-- purpose: who looks, and whether it sees everything
-- floor: 14
-- ceiling: none
-- privilege: any
SELECT current_user::text AS role,
       pg_has_role(current_user, 'pg_monitor', 'USAGE') AS monitor,
       pg_is_in_recovery() AS standby,
       current_setting('server_version_num')::int AS version,
       split_part(current_setting('server_version'), ' ', 1) AS shown,
       pg_postmaster_start_time() AS started,
       extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float8 AS up_seconds
