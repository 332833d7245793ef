-- purpose: whether statements are counted
-- floor: 14
-- ceiling: none
-- privilege: any
SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements') AS installed,
       current_setting('pg_stat_statements.track', true) IS NOT NULL AS loaded
