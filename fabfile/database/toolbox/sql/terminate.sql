-- purpose: end a session, if it is still the one that was shown
-- floor: 14
-- ceiling: none
-- privilege: pg_signal_backend
SELECT pg_terminate_backend(a.pid) AS signalled
FROM pg_stat_activity AS a
WHERE a.pid = %(pid)s AND a.backend_start = %(backend_start)s
