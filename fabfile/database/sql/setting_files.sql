-- purpose: lines of the settings' files that the server refuses
-- floor: 14
-- ceiling: none
-- privilege: SELECT on pg_file_settings, EXECUTE on pg_show_all_file_settings()
SELECT coalesce(sourcefile, '') AS file, coalesce(sourceline, 0) AS line, coalesce(name, '') AS name, error
FROM pg_file_settings
-- A value that only a restart changes is no fault of the file; it is said as pending.
WHERE error IS NOT NULL AND error NOT LIKE 'setting could not be applied' AND error NOT LIKE '%without restarting the server'
ORDER BY 1, 2
