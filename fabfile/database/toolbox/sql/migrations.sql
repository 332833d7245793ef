-- purpose: the revisions that are applied, the newest first, and with which release they came
-- floor: 14
-- ceiling: none
-- privilege: USAGE on the schema, SELECT on schema_changes
SELECT c.revision, c.kind, c.release, c.applied_at
FROM {schema}.schema_changes AS c
ORDER BY c.applied_at DESC, c.revision
LIMIT %(limit)s
