-- purpose: pages that did not have their checksum, of every database
-- floor: 14
-- ceiling: none
-- privilege: any
SELECT coalesce(datname::text, 'shared') AS name, coalesce(checksum_failures, 0)::int8 AS failures,
       checksum_last_failure AS last, current_setting('data_checksums') = 'on' AS enabled
FROM pg_stat_database
ORDER BY 2 DESC, 1
