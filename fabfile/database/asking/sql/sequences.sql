-- purpose: how far each sequence is on its way to its end or to that of the column it feeds, and whether one may know
-- floor: 14
-- ceiling: none
-- privilege: SELECT on each sequence
WITH fed AS (
  -- A column owns its sequence, or has it in its default.
  SELECT d.objid AS sequence, d.refobjid AS "table", d.refobjsubid AS number
  FROM pg_depend AS d
  WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
  UNION
  SELECT d.refobjid, f.adrelid, f.adnum
  FROM pg_depend AS d
  JOIN pg_attrdef AS f ON f.oid = d.objid
  WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass
), narrowest AS (
  SELECT DISTINCT ON (fed.sequence) fed.sequence, fed."table", a.attname, a.atttypid,
         CASE a.atttypid WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647 ELSE 9223372036854775807 END AS most
  FROM fed
  JOIN pg_class AS s ON s.oid = fed.sequence AND s.relkind = 'S'
  JOIN pg_attribute AS a ON a.attrelid = fed."table" AND a.attnum = fed.number
  ORDER BY fed.sequence, most
)
SELECT n.nspname::text AS schema, c.relname::text AS name, r.readable, s.seqcycle AS cycles,
       coalesce(100 * CASE WHEN s.seqincrement > 0
         THEN (r.last::numeric - s.seqstart) / nullif(least(s.seqmax, w.most)::numeric - s.seqstart, 0)
         ELSE (s.seqstart::numeric - r.last) / nullif(s.seqstart::numeric - s.seqmin, 0) END, 0)::float8 AS percent,
       -- The column ends before its sequence does.
       CASE WHEN s.seqincrement > 0 AND w.most < s.seqmax
         THEN format('%%I.%%I.%%I', tn.nspname, t.relname, w.attname) || ' is ' || format_type(w.atttypid, NULL) ELSE '' END AS ends_with
FROM pg_sequence AS s
JOIN pg_class AS c ON c.oid = s.seqrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace AND NOT pg_is_other_temp_schema(n.oid)
LEFT JOIN narrowest AS w ON w.sequence = s.seqrelid
LEFT JOIN pg_class AS t ON t.oid = w."table"
LEFT JOIN pg_namespace AS tn ON tn.oid = t.relnamespace
CROSS JOIN LATERAL (SELECT has_sequence_privilege(c.oid, 'SELECT, USAGE') AS readable) AS p
CROSS JOIN LATERAL (SELECT p.readable, CASE WHEN p.readable THEN pg_sequence_last_value(c.oid) END AS last) AS r
ORDER BY r.readable, 5 DESC, 1, 2
