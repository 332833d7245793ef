-- purpose: how far each sequence is on its way, and whether one may know
-- floor: 14
-- ceiling: none
-- privilege: SELECT on each sequence
SELECT schemaname::text AS schema, sequencename::text AS name,
       has_sequence_privilege(format('%%I.%%I', schemaname, sequencename), 'SELECT, USAGE') AS readable,
       cycle AS cycles,
       coalesce(100 * CASE WHEN increment_by > 0 THEN (last_value::numeric - start_value) / nullif(max_value::numeric - start_value, 0)
                ELSE (start_value::numeric - last_value) / nullif(start_value::numeric - min_value, 0) END, 0)::float8 AS percent
FROM pg_sequences
ORDER BY 5 DESC, 1, 2
LIMIT 200
