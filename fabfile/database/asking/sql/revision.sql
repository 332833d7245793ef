-- purpose: the schema's revision
-- floor: 14
-- ceiling: none
-- privilege: USAGE on the schema, SELECT on alembic_version
SELECT version_num AS revision
FROM {schema}.alembic_version
ORDER BY 1
