-- purpose: the text of one statement by its id
-- floor: 14
-- ceiling: none
-- privilege: pg_monitor, for the texts of other roles
SELECT s.query
FROM {statements} AS s
WHERE s.queryid = %(id)s AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY s.calls DESC
LIMIT 1
