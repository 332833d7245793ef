-- purpose: the values that the next start would take of settings that wait for it
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor, SELECT on pg_file_settings, EXECUTE on pg_show_all_file_settings()
SELECT DISTINCT ON (s.name) s.name, f.setting AS value
FROM pg_settings AS s
JOIN pg_file_settings AS f ON lower(f.name) = lower(s.name)
WHERE s.pending_restart
ORDER BY s.name, f.seqno DESC
