-- purpose: whether statements are counted, and where the extension is that counts them
-- floor: 14
-- ceiling: none
-- privilege: any
SELECT coalesce((SELECT n.nspname::text FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
                 WHERE e.extname = 'pg_stat_statements'), '') AS schema,
       current_setting('pg_stat_statements.track', true) IS NOT NULL AS loaded
