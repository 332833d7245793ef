-- purpose: extensions that what is installed on the host would update
-- floor: 14
-- ceiling: none
-- privilege: any
SELECT e.extname::text AS name, e.extversion AS version, a.default_version AS available
FROM pg_extension AS e
JOIN pg_available_extensions AS a ON a.name = e.extname
WHERE e.extversion <> a.default_version
  -- One that is newer than the host's default has no way there.
  AND EXISTS (SELECT FROM pg_extension_update_paths(e.extname) AS p
              WHERE p.source = e.extversion AND p.target = a.default_version AND p.path IS NOT NULL)
ORDER BY 1
