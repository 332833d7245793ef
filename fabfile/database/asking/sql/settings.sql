-- purpose: settings that wait for a restart, or come from elsewhere than the files Slipway wrote
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor
SELECT name, current_setting(name) AS shown, pending_restart, coalesce(sourcefile, '') AS file, coalesce(sourceline, 0) AS line,
       coalesce(sourcefile LIKE '%%/postgresql.auto.conf', false) AS altered
FROM pg_settings
WHERE pending_restart OR sourcefile LIKE '%%/postgresql.auto.conf'
ORDER BY 1
