-- purpose: the size of pg_wal against what its settings have it stay within
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor
SELECT (SELECT sum(size) FROM pg_ls_waldir())::float8 AS size,
       (greatest(pg_size_bytes(current_setting('max_wal_size')), pg_size_bytes(current_setting('min_wal_size')))
         + pg_size_bytes(current_setting('wal_keep_size')))::float8 AS maximum
