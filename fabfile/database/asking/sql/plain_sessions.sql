-- purpose: sessions from other hosts that are not encrypted
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor
SELECT count(*)::int AS sessions
FROM pg_stat_activity AS a
JOIN pg_stat_ssl AS s ON s.pid = a.pid
WHERE a.client_addr IS NOT NULL AND NOT s.ssl AND NOT a.client_addr <<= '127.0.0.0/8' AND a.client_addr <> '::1'
