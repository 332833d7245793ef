"""What is in a database, in a form that two databases can be compared by."""

from __future__ import annotations

from typing import Any

from database_backup.server import Session

# Each row is the next statement to run (\gexec), so that every name is quoted by the server itself.
OWN = """
  n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (
    SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
"""
ROWS = """
SELECT format('SELECT json_build_array(%L::text, count(*)) FROM ONLY %I.%I',
  format('%I.%I', n.nspname, c.relname), n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND @own@ ORDER BY n.nspname, c.relname
\\gexec
"""
REVISION = """
SELECT format('SELECT to_json(version_num::text) FROM %I.%I ORDER BY version_num', n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = 'alembic_version' AND c.relkind = 'r' ORDER BY n.nspname
\\gexec
"""
# An index that a failed concurrent build left is not dumped, and not missed.
INDEXES = """
SELECT json_build_object('valid', count(*) FILTER (WHERE i.indisvalid),
  'invalid', count(*) FILTER (WHERE NOT i.indisvalid))
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'p') AND @own@;
"""
CONSTRAINTS = """
SELECT json_build_object('validated', count(*) FILTER (WHERE x.convalidated),
  'not_validated', coalesce(json_agg(format('%I on %I.%I', x.conname, n.nspname, c.relname)
    ORDER BY n.nspname, c.relname, x.conname) FILTER (WHERE NOT x.convalidated), '[]'))
FROM pg_constraint x JOIN pg_class c ON c.oid = x.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE x.contype IN ('c', 'f', 'p', 'u', 'x') AND @own@;
"""
ABOUT = """
SELECT json_build_object('database_bytes', pg_database_size(d.datname), 'encoding', pg_encoding_to_char(d.encoding),
  'lc_collate', d.datcollate, 'lc_ctype', d.datctype, 'provider', coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'),
  'locale', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', ''),
  'server', current_setting('server_version'))
FROM pg_database d WHERE d.datname = current_database();
"""
# Counted row by row: what PostgreSQL checked while it restored is checked again by another way.
BROKEN_CHECKS = """
SELECT format('SELECT json_build_array(%L::text, count(*)) FROM ONLY %I.%I WHERE NOT (%s)',
  format('%I on %I.%I', x.conname, n.nspname, c.relname), n.nspname, c.relname, pg_get_expr(x.conbin, x.conrelid))
FROM pg_constraint x JOIN pg_class c ON c.oid = x.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE x.contype = 'c' AND c.relkind = 'r' AND x.convalidated AND @own@
\\gexec
"""
# A reference to a partitioned table has a row for each of its partitions too, none of which holds alone.
BROKEN_REFERENCES = """
SELECT format('SELECT json_build_array(%L::text, count(*)) FROM ONLY %I.%I child WHERE %s AND NOT EXISTS '
  '(SELECT FROM %s parent WHERE %s)', format('%I on %I.%I', x.conname, n.nspname, c.relname), n.nspname, c.relname,
  string_agg(format('child.%I IS NOT NULL', a.attname), ' AND '), x.confrelid::regclass,
  string_agg(format('parent.%I = child.%I', b.attname, a.attname), ' AND '))
FROM pg_constraint x JOIN pg_class c ON c.oid = x.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN unnest(x.conkey, x.confkey) AS pair (own, other)
JOIN pg_attribute a ON a.attrelid = x.conrelid AND a.attnum = pair.own
JOIN pg_attribute b ON b.attrelid = x.confrelid AND b.attnum = pair.other
WHERE x.contype = 'f' AND c.relkind = 'r' AND x.convalidated AND @own@
  AND NOT EXISTS (SELECT FROM pg_constraint whole WHERE whole.oid = x.conparentid AND whole.conrelid = x.conrelid)
GROUP BY x.oid, x.conname, n.nspname, c.relname, x.confrelid
\\gexec
"""


def read(session: Session) -> dict[str, Any]:
    """What a record keeps: tables ({quoted name: rows}), revision, indexes, constraints, size, encoding, version."""
    return {
        **session.rows(ABOUT)[0],
        "tables": dict(_rows_of(session, ROWS)),
        "revision": ", ".join(session.rows(REVISION)),
        "indexes": _rows_of(session, INDEXES)[0],
        "constraints": _rows_of(session, CONSTRAINTS)[0],
    }


def differences(recorded: dict[str, Any], session: Session) -> list[str]:
    """What a restored database is or has that the dumped one was not or had not; a sentence each."""
    found = read(session)
    wrong = []
    for name in sorted({*recorded["tables"], *found["tables"]}):
        had, has = recorded["tables"].get(name), found["tables"].get(name)
        if had != has:
            wrong.append(f"{name} has {_rows(has)}, and had {_rows(had)} when it was dumped.")
    if found["revision"] != recorded["revision"]:
        wrong.append(
            f"The schema's revision is {found['revision'] or 'none'}, and was {recorded['revision'] or 'none'}."
        )
    if found["indexes"] != {"valid": recorded["indexes"]["valid"], "invalid": 0}:
        wrong.append(
            f"Indexes: {found['indexes']}, and {recorded['indexes']['valid']} valid ones were dumped."
        )
    if found["constraints"] != recorded["constraints"]:
        wrong.append(f"Constraints: {found['constraints']}, and were {recorded['constraints']}.")
    for name, rows in _rows_of(session, BROKEN_CHECKS) + _rows_of(session, BROKEN_REFERENCES):
        if rows:
            wrong.append(f"{rows} rows do not hold to the constraint {name}.")
    return wrong


def _rows_of(session: Session, script: str) -> list[Any]:
    return session.rows(script.replace("@own@", OWN))


def _rows(count: int | None) -> str:
    return "no such table" if count is None else f"{count} rows"
