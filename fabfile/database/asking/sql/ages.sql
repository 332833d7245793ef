-- purpose: how far each database is from the end of transaction ids, and how far somebody keeps them from being frozen
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor
SELECT datname::text AS name, age(datfrozenxid)::float8 AS transactions, mxid_age(datminmxid)::float8 AS multixacts,
       current_setting('autovacuum_freeze_max_age')::float8 AS transactions_due,
       current_setting('autovacuum_multixact_freeze_max_age')::float8 AS multixacts_due,
       h.held::float8 AS held
FROM pg_database
CROSS JOIN (
  SELECT greatest((SELECT max(age(backend_xmin)) FROM pg_stat_activity),
                  (SELECT max(greatest(age(xmin), age(catalog_xmin))) FROM pg_replication_slots),
                  (SELECT max(age(transaction)) FROM pg_prepared_xacts), 0) AS held
) AS h
ORDER BY 2 DESC, 1
