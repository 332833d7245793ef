-- purpose: transactions prepared and not ended
-- floor: 14
-- ceiling: none
-- privilege: any
SELECT gid, owner::text AS role, database::text AS database,
       extract(epoch FROM clock_timestamp() - prepared)::float8 AS seconds, age(transaction) AS held
FROM pg_prepared_xacts
ORDER BY prepared
