-- purpose: lines of the settings' files that the server refuses
-- floor: 14
-- ceiling: none
-- privilege: SELECT on pg_file_settings, EXECUTE on pg_show_all_file_settings()
SELECT coalesce(f.sourcefile, '') AS file, coalesce(f.sourceline, 0) AS line, coalesce(f.name, '') AS name, f.error
FROM pg_file_settings AS f
LEFT JOIN pg_settings AS s ON s.name = f.name
-- A value that only a restart changes is no fault of the file; it is said as pending.
WHERE f.error IS NOT NULL AND s.pending_restart IS NOT TRUE
ORDER BY 1, 2
