-- purpose: whether WAL is archived, and since when not
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor
SELECT current_setting('archive_mode') AS mode, current_setting('archive_command') AS command,
       a.archived_count::int8 AS archived, a.failed_count::int8 AS failed, coalesce(a.last_failed_wal, '') AS last_failed,
       coalesce(a.last_failed_time > coalesce(a.last_archived_time, '-infinity'), false) AS failing,
       coalesce(extract(epoch FROM clock_timestamp() - coalesce(a.last_archived_time, a.stats_reset)), 0)::float8 AS seconds,
       CASE WHEN current_setting('archive_mode') = 'off' THEN 0
         ELSE (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%%.ready') END::int AS ready
FROM pg_stat_archiver AS a
