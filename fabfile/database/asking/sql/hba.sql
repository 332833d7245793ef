-- purpose: lines of pg_hba.conf that the server refuses, and those that ask for too little
-- floor: 14
-- ceiling: none
-- privilege: SELECT on pg_hba_file_rules, EXECUTE on pg_hba_file_rules()
SELECT line_number AS line, coalesce(type, '') AS type, coalesce(auth_method, '') AS method, coalesce(address, '') AS address,
       coalesce(error, '') AS error
FROM pg_hba_file_rules
WHERE error IS NOT NULL OR auth_method IN ('trust', 'md5', 'password') OR (type IN ('host', 'hostnossl') AND auth_method <> 'reject'
    -- What does not leave the host needs no encryption.
    AND coalesce(address, '') NOT IN ('127.0.0.1', '::1', 'localhost'))
ORDER BY 1
