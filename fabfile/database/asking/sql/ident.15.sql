-- purpose: lines of pg_ident.conf that the server refuses
-- floor: 15
-- ceiling: none
-- privilege: SELECT on pg_ident_file_mappings, EXECUTE on pg_ident_file_mappings()
SELECT line_number AS line, error
FROM pg_ident_file_mappings
WHERE error IS NOT NULL
ORDER BY 1
