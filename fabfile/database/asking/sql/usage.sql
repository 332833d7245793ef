-- purpose: connections by role, application and state
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor
SELECT coalesce(usename, '') AS role, coalesce(application_name, '') AS application,
       coalesce(state, '') AS state, count(*)::int AS sessions
FROM pg_stat_activity
WHERE backend_type = 'client backend'
GROUP BY 1, 2, 3
ORDER BY 4 DESC, 1, 2, 3
