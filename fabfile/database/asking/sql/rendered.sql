-- purpose: each setting of the file that Slipway writes, beside what the server runs with and where that is from
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor, SELECT on pg_file_settings, EXECUTE on pg_show_all_file_settings()
SELECT s.name, f.setting AS rendered, f.applied, s.setting AS running, current_setting(s.name) AS shown, s.vartype AS kind,
       coalesce(s.unit, '') AS unit, s.source, coalesce(s.sourcefile, '') AS file, coalesce(s.sourceline, 0) AS line,
       s.pending_restart AS waits
FROM pg_file_settings AS f
JOIN pg_settings AS s ON lower(s.name) = lower(f.name)
WHERE f.sourcefile LIKE '%%/conf.d/slipway.conf'
ORDER BY 1
