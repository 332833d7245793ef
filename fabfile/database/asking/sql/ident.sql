-- purpose: nothing: before 15 the server says of pg_ident.conf only in its log what it refuses
-- floor: 14
-- ceiling: 14
-- privilege: any
SELECT 0 AS line, '' AS error
WHERE false
