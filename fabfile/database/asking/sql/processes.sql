-- purpose: whether a crash ended the server's own processes, or the server itself before its last start
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor
-- What the statistics held is dropped, all of it at once, by a start that has to recover; a shutdown in order keeps it.
-- The start of a standby drops it too, and a standby may have become the primary since.
SELECT greatest(0, extract(epoch FROM min(p.backend_start) - s.started))::float8 AS after,
       extract(epoch FROM clock_timestamp() - min(p.backend_start))::float8 AS seconds,
       extract(epoch FROM clock_timestamp() - s.started)::float8 AS up,
       extract(epoch FROM s.started)::float8 - (s.identifier >> 32) AS created_before,
       NOT pg_is_in_recovery() AND s.writer >= s.started AND s.archiver >= s.started
           AND abs(extract(epoch FROM s.writer - s.archiver)) < 1
           AND NOT EXISTS (SELECT FROM pg_ls_waldir() AS f
                           WHERE f.name LIKE '________.history' AND f.modification >= date_trunc('second', s.started)) AS recovered
FROM pg_stat_activity AS p,
     (SELECT pg_postmaster_start_time() AS started,
             (SELECT system_identifier FROM pg_control_system()) AS identifier,
             (SELECT stats_reset FROM pg_stat_bgwriter) AS writer,
             (SELECT stats_reset FROM pg_stat_archiver) AS archiver) AS s
WHERE p.backend_type = 'checkpointer'
GROUP BY s.started, s.identifier, s.writer, s.archiver
