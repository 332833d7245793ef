-- purpose: the size of pg_wal against what it should stay within
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor
SELECT (SELECT sum(size) FROM pg_ls_waldir())::float8 AS size,
       (SELECT setting::float8 * 1024 * 1024 FROM pg_settings WHERE name = 'max_wal_size') AS maximum
