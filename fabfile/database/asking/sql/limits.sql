-- purpose: how many connections there may be and are, and how far they are kept for superusers
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor
SELECT current_setting('max_connections')::int AS maximum,
       current_setting('superuser_reserved_connections')::int
         -- From 16 on some may be kept for roles other than superusers.
         + coalesce(current_setting('reserved_connections', true)::int, 0) AS reserved,
       count(*)::int AS used
FROM pg_stat_activity
WHERE backend_type = 'client backend'
