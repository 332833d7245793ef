-- purpose: whether a standby became the primary, and since when: each time leaves a file in pg_wal that stays there
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor
SELECT coalesce(('x' || max(left(name, 8)))::bit(32)::int, 1) AS number,
       extract(epoch FROM clock_timestamp() - max(modification))::float8 AS seconds
FROM pg_ls_waldir()
WHERE name LIKE '________.history'
